/** What an adapter's file has in place of its parameters, and what a checkpoint has beside it. */
import { t } from "@vscode/l10n";
import * as path from "node:path";
import { misfit } from "../base/errors.ts";
import { isFile } from "../base/files.ts";
import { elementCount, type Shape } from "../base/shape.ts";
import { GraphBuilder } from "../onnx/builder.ts";
import type { Parameter, ParameterValues, TrainableAdapter } from "../peft/trainable/trainable.ts";
import { openSafetensors, readFloat32 } from "../safetensors/read.ts";
import { type TensorData, writeSafetensors } from "../safetensors/write.ts";
import { float32Tensor, OrtSession, type Tensor } from "../session/ortSession.ts";

/** Parameters that an adapter's file does not hold: an encoder of virtual tokens. */
const ownName = "graft_parameters.safetensors";

/** The tensor that is made of the parameters, as they are in PEFT's next forward; none for most. */
export async function madeTensors(
  { made, parameters, settle }: Pick<TrainableAdapter, "made" | "parameters" | "settle">,
  values: ParameterValues,
): Promise<TensorData[]> {
  if (!made) return [];
  const g = new GraphBuilder();
  g.output(made.make(g), made.name, "float32", ["rows", "columns"]);
  const graph = g.build("made");
  const settled = new Map([...values, ...(settle?.(values) ?? [])]);
  const wanted = new Set<string>(graph.inputs.map(({ name }) => name));
  const feeds = Object.fromEntries(
    parameters
      .filter(({ name }) => wanted.has(name))
      .map(({ name, shape }) => [name, float32Tensor(settled.get(name) as Float32Array, shape)]),
  );
  const session = await OrtSession.create(graph, { threads: 1 });
  try {
    const result = (await session.run(feeds))[made.name] as Tensor;
    return [tensorOf(made.name, result.dims, result.data as Float32Array)];
  } finally {
    await session.dispose();
  }
}

function tensorOf(name: string, shape: Shape, values: Float32Array): TensorData {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return { name, dtype: "F32", shape, bytes };
}

/** What is trained and has no place in the adapter's file. */
function unstored({ parameters }: TrainableAdapter): Parameter[] {
  return parameters.filter(({ isTrained, isStored }) => isTrained && !isStored);
}

/** Writes them beside a checkpoint's adapter; nothing for most methods. */
export async function writeUnstored(
  folder: string,
  adapter: TrainableAdapter,
  values: ParameterValues,
): Promise<void> {
  const own = unstored(adapter);
  if (own.length === 0) return;
  const tensors = own.map(({ name, shape }) =>
    tensorOf(name, shape, values.get(name) as Float32Array),
  );
  await writeSafetensors(path.join(folder, ownName), tensors, { metadata: { format: "pt" } });
}

/** @throws misfit for a checkpoint without them, which another tool wrote: PEFT does not keep them */
export async function readUnstored(
  folder: string,
  adapter: TrainableAdapter,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, Float32Array>> {
  const own = unstored(adapter);
  if (own.length === 0) return new Map();
  const file = path.join(folder, ownName);
  if (!(await isFile(file))) {
    throw misfit(
      t(
        "{0} has the finished prompt alone, not what makes it: training cannot go on from there.",
        folder,
      ),
    );
  }
  const { tensors } = await openSafetensors(file);
  const entries = own.map(({ name, shape }) => {
    const entry = tensors.find((each) => each.name === name);
    if (entry && elementCount(entry.shape) === elementCount(shape)) return entry;
    throw misfit(t('{0}: the adapter has no tensor "{1}", which its config asks for.', file, name));
  });
  return readFloat32(file, entries, signal);
}
