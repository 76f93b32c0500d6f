import { t } from "@vscode/l10n";
import { throwIfAborted } from "../../base/errors.ts";
import { isSameShape } from "../../base/shape.ts";
import { type AdapterCheckpoint, plainTensorName } from "../../checkpoint/adapterCheckpoint.ts";
import { readFloat32 } from "../../safetensors/read.ts";
import { shapeMisfit } from "../tuner/shapeMisfit.ts";
import type { ParameterValues, TrainableAdapter } from "./trainable.ts";

/** A saved adapter's values, and what PEFT would decide in silence. */
export interface StoredValues {
  readonly values: ParameterValues;
  readonly warnings: readonly string[];
}

/**
 * What a saved adapter's training goes on from: its tensors by PEFT's names; what the file lacks stays
 * as it begins, as in PEFT.
 * @throws misfit where a shape is another
 */
export async function storedValues(
  { parameters }: TrainableAdapter,
  checkpoint: AdapterCheckpoint,
  at: { initial: ParameterValues; signal?: AbortSignal | undefined },
): Promise<StoredValues> {
  const { initial, signal } = at;
  throwIfAborted(signal);
  const byName = new Map(
    checkpoint.weights.tensors.map((entry) => [plainTensorName(entry.name), entry]),
  );
  const found = parameters.flatMap((parameter) => {
    const entry = parameter.isStored && byName.get(plainTensorName(parameter.name));
    return entry ? [{ parameter, entry }] : [];
  });
  for (const { parameter, entry } of found) {
    if (isSameShape(parameter.shape, entry.shape)) continue;
    throw shapeMisfit(checkpoint, { name: parameter.name, entry, wanted: parameter.shape });
  }
  const entries = found.map(({ entry }) => entry);
  const own = await readFloat32(checkpoint.weights.file, entries, signal);
  const values = new Map(initial);
  for (const { parameter, entry } of found) {
    values.set(parameter.name, own.get(entry.name) as Float32Array);
  }
  const there = new Set(found.map(({ parameter }) => parameter.name));
  const absent = parameters.filter((each) => each.isStored && !there.has(each.name));
  const warnings =
    absent.length === 0
      ? []
      : [
          t(
            "The file lacks {0} of {1} tensors ({2}, …): they begin as in a new adapter.",
            absent.length,
            parameters.length,
            absent[0]?.name ?? "",
          ),
        ];
  return { values, warnings };
}
