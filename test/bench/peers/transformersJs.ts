// transformers.js on the CPU, over Graft's own export of the bare base: argv[2] is the folder of its packages.
import { stat } from "node:fs/promises";
import * as path from "node:path";
import { pathToFileURL } from "node:url";
import type { Answer } from "../protocol.ts";
import { type Asked, serve, timed } from "./serve.ts";

/** What is used of transformers.js's types; it is no package of this project. */
interface Tensor {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}
type Outputs = Readonly<Record<string, Tensor>>;
interface Model {
  forward(inputs: object): Promise<Outputs>;
}
interface Library {
  readonly env: { allowRemoteModels: boolean; localModelPath: string; version: string };
  readonly AutoModelForCausalLM: { from_pretrained(name: string, options: object): Promise<Model> };
  readonly Tensor: new (type: "int64", data: BigInt64Array, dims: number[]) => object;
}

interface Sequence {
  past: object | null;
  length: number;
  next: number;
}

const sequences = new Map<string, Sequence>();
let library: Library;
let model: Model;

await serve({ load, start, steps, prefill });

async function load({ model: folder, threads }: Asked<"load">): Promise<Answer> {
  const own = path.join(process.argv[2] as string, "node_modules/@huggingface/transformers");
  const entry = pathToFileURL(path.join(own, "dist/transformers.node.mjs")).href;
  library = (await import(entry)) as Library;
  library.env.allowRemoteModels = false;
  library.env.localModelPath = path.dirname(folder);
  const [loaded, milliseconds] = await timed(() =>
    library.AutoModelForCausalLM.from_pretrained(path.basename(folder), {
      ...{ dtype: "fp32", device: "cpu" },
      ...(threads > 0 && { session_options: { intraOpNumThreads: threads } }),
    }),
  );
  model = loaded;
  const { size: bytes } = await stat(path.join(folder, "onnx/model.onnx.data"));
  const version = `transformers.js ${library.env.version}`;
  return { samples: [milliseconds], version, bytes };
}

/** Reads tokens after those of a sequence and chooses the next one. */
async function read(own: Sequence, ids: readonly number[]): Promise<void> {
  const int64 = (values: readonly number[]): object =>
    new library.Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
  const total = own.length + ids.length;
  const outputs = await model.forward({
    input_ids: int64(ids),
    attention_mask: int64(Array.from({ length: total }, () => 1)),
    position_ids: int64(ids.map((_, i) => own.length + i)),
    past_key_values: own.past,
  });
  own.past = Object.fromEntries(
    Object.entries(outputs)
      .filter(([name]) => name.startsWith("present"))
      .map(([name, tensor]) => [name.replace("present", "past_key_values"), tensor]),
  );
  own.length = total;
  const logits = outputs["logits"] as Tensor;
  const [, rows = 1, width = 0] = logits.dims;
  const last = logits.data.subarray((rows - 1) * width);
  own.next = last.reduce((best, value, i) => (value > (last[best] as number) ? i : best), 0);
}

async function begin({ prompt, use }: Pick<Asked<"prefill">, "prompt" | "use">): Promise<Sequence> {
  if (use.rows || use.adapters.length > 0) throw new Error("transformers.js has no adapters.");
  const own = { past: null, length: 0, next: 0 };
  await read(own, prompt);
  return own;
}

async function start({ key, prompt, use, batch }: Asked<"start">): Promise<Answer> {
  if (batch > 1) throw new Error("Batches are not measured.");
  const [own, milliseconds] = await timed(() => begin({ prompt, use }));
  sequences.set(key, own);
  return { samples: [milliseconds] };
}

async function steps({ key, count }: Asked<"steps">): Promise<Answer> {
  const own = sequences.get(key) as Sequence;
  const samples: number[] = [];
  const ids: number[] = [];
  for (let i = 0; i < count; i++) {
    ids.push(own.next);
    samples.push((await timed(() => read(own, [own.next])))[1]);
  }
  return { samples, ids };
}

async function prefill(ask: Asked<"prefill">): Promise<Answer> {
  const [own, milliseconds] = await timed(() => begin(ask));
  return { samples: [milliseconds], ids: [own.next] };
}
