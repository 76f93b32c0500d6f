import * as ort from "onnxruntime-node";
import { availableCores, type Machine, thisMachine } from "../base/machine.ts";
import { GraphBuilder } from "../onnx/builder.ts";
import { encodeModel } from "../onnx/protobuf.ts";
import {
  chooseDevice,
  type Device,
  type DeviceProbe,
  type DeviceReport,
  type DeviceWish,
} from "./devices.ts";

const size = 512;

/** Four products [64, 512] · [512, 512]: a prompt's work, in a few milliseconds on a CPU. */
function smallModel(): Uint8Array {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", [64, size]);
  const values = Float32Array.from({ length: size * size }, (_, i) => ((i * 7) % 13) / 512);
  const w = g.float32s("w", values, [size, size]);
  let y = x;
  for (let i = 0; i < 4; i++) y = g.matMul(y, w);
  g.output(y, "y", "float32", [64, size]);
  return encodeModel(g.build("probe")).bytes;
}

/** The machine that this process runs on. */
function thisProbe(): DeviceProbe {
  let truth: ReturnType<typeof run> | null = null;
  return {
    platform: process.platform,
    arch: process.arch,
    built: ort.listSupportedBackends().map(({ name }) => name),
    time: async (device) => {
      const expected = (await (truth ??= run("cpu"))).y;
      const { seconds, y } = await run(device);
      if (!y.every((value, i) => Math.abs(value / (expected[i] as number) - 1) < 0.02)) {
        throw new Error("it computes wrong numbers");
      }
      return seconds;
    },
  };
}

async function run(device: Device): Promise<{ seconds: number; y: Float32Array }> {
  const session = await ort.InferenceSession.create(smallModel(), {
    executionProviders: [device],
    logSeverityLevel: 4,
  });
  try {
    const data = Float32Array.from({ length: 64 * size }, (_, i) => 1 + (i % 5));
    const feeds = { x: new ort.Tensor("float32", data, [64, size]) };
    let seconds = Infinity;
    let y = new Float32Array(0);
    // The first run compiles; of the others the fastest counts, as the machine is not ours alone.
    for (let i = 0; i < 4; i++) {
      const started = performance.now();
      const out = await session.run(feeds);
      if (i > 0) seconds = Math.min(seconds, (performance.now() - started) / 1000);
      y = out["y"]?.data as Float32Array<ArrayBuffer>;
    }
    return { seconds, y };
  } finally {
    await session.release();
  }
}

const chosen = new Map<DeviceWish, Promise<DeviceReport>>();

/** `chooseDevice` for this machine, tried once for each wish. */
export function deviceFor(asked: DeviceWish): Promise<DeviceReport> {
  const known = chosen.get(asked) ?? chooseDevice(asked, thisProbe());
  chosen.set(asked, known);
  return known;
}

/**
 * How many threads a session gets: as asked, else none stated where the whole machine is there
 * (ONNX Runtime then takes one a physical core), else the cores that this process may use.
 */
export async function threadsFor(
  asked: number | undefined,
  machine: Machine = thisMachine(),
): Promise<number> {
  if (asked) return asked;
  const cores = await availableCores(machine);
  return cores < machine.cores ? cores : 0;
}
