/**
 * Factors that an older file has for each layer of each expert, as the two that PEFT makes of them
 * for each parameter (utils/transformers_weight_conversion.py, build_peft_weight_mapping): A of all
 * experts below one another, B with the ranks of each expert apart. What was gate and up becomes one
 * matrix, whose B is block-diagonal.
 */
import { t } from "@vscode/l10n";
import { badFile } from "../../base/errors.ts";
import { elementCount, isSameShape, showShape } from "../../base/shape.ts";
import { plainTensorName } from "../../checkpoint/adapterCheckpoint.ts";
import type { TensorEntry } from "../../safetensors/header.ts";
import type { MadeEntry } from "../tuner/tensors.ts";
import { type OlderNames, olderNames } from "./fusedNames.ts";

type Factor = "lora_A" | "lora_B";

/** Tensors of one parameter: by part (gate and up, or down alone) those of each expert, in order. */
interface Fusing {
  readonly factor: Factor;
  readonly parts: Map<string, Map<number, TensorEntry>>;
}

/** A file's tensors as PEFT turns them for a base of this type. */
export function fusedTensors(
  tensors: readonly TensorEntry[],
  modelType: string,
  file: string,
): readonly TensorEntry[] {
  const older = olderNames[modelType];
  if (!older) return tensors;
  const fusing = new Map<string, Fusing>();
  const rest = new Map<string, TensorEntry>();
  for (const entry of tensors) {
    const place = placeOf(renamed(plainTensorName(entry.name), older), older);
    if (!place) {
      const name = entry.name.includes(".lora_") ? renamed(entry.name, older) : entry.name;
      rest.set(name, name === entry.name ? entry : { ...entry, name });
      continue;
    }
    const { target, factor, part, expert } = place;
    const own: Fusing = fusing.get(target) ?? { factor, parts: new Map() };
    fusing.set(target, own);
    own.parts.set(part, (own.parts.get(part) ?? new Map<number, TensorEntry>()).set(expert, entry));
  }
  if (fusing.size === 0 && rest.size === tensors.length) return [...rest.values()];
  const order = [older.gate, older.up, older.down];
  for (const [name, { factor, parts }] of fusing) {
    const sorted = order.flatMap((part) => {
      const experts = parts.get(part);
      return experts ? [[...experts].sort(([a], [b]) => a - b).map(([, entry]) => entry)] : [];
    });
    rest.set(name, fused(name, factor, { parts: sorted, file }));
  }
  return [...rest.values()];
}

function renamed(name: string, { block }: OlderNames): string {
  return name.replace(`.${block}.`, ".mlp.");
}

/** Which tensor an expert's factor becomes a part of; null for other tensors. */
function placeOf(
  plain: string,
  { gate, up, down }: OlderNames,
): { target: string; factor: Factor; part: string; expert: number } | null {
  const [, stack = "", expert, part = "", factor] =
    /^(.*\.mlp\.experts)\.(\d+)\.(\w+)\.(lora_[AB])\./.exec(plain) ?? [];
  if (![gate, up, down].includes(part)) return null;
  // The second parameter is the outer one of PEFT's wrappers.
  const wrapper = part === down ? stack : `${stack}.base_layer`;
  return {
    target: `base_model.model.${wrapper}.${factor}.weight`,
    factor: factor as Factor,
    part,
    expert: Number(expert),
  };
}

/** @param at.parts by part the tensors of all experts */
function fused(
  name: string,
  factor: Factor,
  { parts, file }: { parts: readonly (readonly TensorEntry[])[]; file: string },
): MadeEntry {
  for (const [first, ...others] of parts) {
    for (const other of others) {
      if (first && isSameShape(first.shape, other.shape)) continue;
      throw badFile(
        file,
        t(
          'tensors "{0}" {1} and "{2}" {3} must have one shape: all experts become one parameter',
          String(first?.name),
          showShape(first?.shape ?? []),
          other.name,
          showShape(other.shape),
        ),
      );
    }
  }
  const sizes = parts.map(([first]) => ({
    rows: first?.shape[0] ?? 0,
    columns: first?.shape[1] ?? 0,
  }));
  const count = parts[0]?.length ?? 0;
  const rows = sizes.reduce((sum, each) => sum + each.rows, 0);
  const columns = sizes.reduce((sum, each) => sum + each.columns, 0);
  const shape =
    factor === "lora_A" ? [rows * count, sizes[0]?.columns ?? 0] : [rows, columns * count];
  const fill = factor === "lora_A" ? fillA : fillB;
  return {
    name,
    dtype: "F32",
    shape,
    offset: 0,
    byteLength: 4 * elementCount(shape),
    made: {
      from: parts.flat(),
      of: (values) => fill({ values, sizes, count, rows, columns }),
    },
  };
}

interface Filling {
  /** All experts of one part, then of the next. */
  readonly values: readonly Float32Array[];
  readonly sizes: readonly { readonly rows: number; readonly columns: number }[];
  readonly count: number;
  readonly rows: number;
  readonly columns: number;
}

/** [experts · ranks, in]: of each expert its parts' ranks. */
function fillA({ values, sizes, count, rows }: Filling): Float32Array {
  const inputs = sizes[0]?.columns ?? 0;
  const out = new Float32Array(rows * count * inputs);
  let first = 0;
  sizes.forEach((size, part) => {
    for (let expert = 0; expert < count; expert++) {
      const own = values[part * count + expert] as Float32Array;
      out.set(own.subarray(0, size.rows * inputs), (expert * rows + first) * inputs);
    }
    first += size.rows;
  });
  return out;
}

/** [out, ranks · experts]: each part's own rows and ranks, experts side by side. */
function fillB({ values, sizes, count, rows, columns }: Filling): Float32Array {
  const out = new Float32Array(rows * columns * count);
  let [firstRow, firstRank] = [0, 0];
  sizes.forEach((size, part) => {
    for (let expert = 0; expert < count; expert++) {
      const own = values[part * count + expert] as Float32Array;
      own.forEach((value, i) => {
        const row = firstRow + Math.floor(i / size.columns);
        const rank = firstRank + (i % size.columns);
        out[(row * columns + rank) * count + expert] = value;
      });
    }
    firstRow += size.rows;
    firstRank += size.columns;
  });
  return out;
}
