// What this machine can do at this moment: bytes that its threads read a second, and fp32 multiply-adds. A
// process of its own, so that its memory is gone with it: prints JSON. `node --import tsx machineSpeed.ts THREADS`.
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { GraphBuilder } from "../../extension/core/onnx/builder.ts";
import { float32Tensor, OrtSession } from "../../extension/core/session/ortSession.ts";

export interface MachineSpeed {
  readonly threads: number;
  /** Billions of bytes a second. */
  readonly bandwidth: number;
  /** Billions of floating-point operations a second. */
  readonly arithmetic: number;
}

const bytes = 256 * 1024 * 1024;
const runs = 6;

/** Looks for a byte that is not there, which reads everything as fast as memory gives it (memchr). */
const reader = `
const { parentPort } = require("node:worker_threads");
const memory = Buffer.alloc(${bytes}, 2);
parentPort.on("message", () => parentPort.postMessage(memory.indexOf(1)));
parentPort.postMessage("ready");
`;

async function bandwidth(threads: number): Promise<number> {
  const workers = Array.from({ length: threads }, () => new Worker(reader, { eval: true }));
  await Promise.all(workers.map((worker) => once(worker, "message")));
  let best = Infinity;
  for (let run = 0; run < runs; run++) {
    const started = performance.now();
    const read = workers.map((worker) => once(worker, "message"));
    for (const worker of workers) worker.postMessage(0);
    await Promise.all(read);
    best = Math.min(best, performance.now() - started);
  }
  await Promise.all(workers.map((worker) => worker.terminate()));
  return (threads * bytes) / best / 1e6;
}

/** A prompt of 256 through a square layer, by ONNX Runtime. */
async function arithmetic(threads: number): Promise<number> {
  const [rows, size] = [256, 2048];
  const g = new GraphBuilder();
  const x = g.input("x", "float32", [rows, size]);
  const weights = Float32Array.from({ length: size * size }, (_, i) => ((i * 7) % 13) / 512);
  g.output(g.matMul(x, g.float32s("w", weights, [size, size])), "y", "float32", [rows, size]);
  const session = await OrtSession.create(g.build("speed"), { threads });
  const feeds = { x: float32Tensor(new Float32Array(rows * size).fill(1), [rows, size]) };
  let best = Infinity;
  for (let run = 0; run < runs; run++) {
    const started = performance.now();
    await session.run(feeds);
    best = Math.min(best, performance.now() - started);
  }
  await session.dispose();
  return (2 * rows * size * size) / best / 1e6;
}

const threads = Number(process.argv[2]);
const result: MachineSpeed = {
  threads,
  bandwidth: await bandwidth(threads),
  arithmetic: await arithmetic(threads),
};
process.stdout.write(`${JSON.stringify(result)}\n`);
