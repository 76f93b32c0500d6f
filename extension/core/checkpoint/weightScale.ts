/**
 * Checkpoints in 8-bit floating point keep a scale beside each weight: a value is weight · scale
 * (DeepSeek's and Qwen's `weight_scale_inv`, which multiplies despite its name; `weight_scale` of
 * compressed-tensors, FBGEMM and ModelOpt; transformers/integrations/finegrained_fp8.py).
 */
import { t } from "@vscode/l10n";
import { isReadableDtype } from "../base/dtype.ts";
import { badFile, unsupported } from "../base/errors.ts";
import { isObject } from "../base/json.ts";
import { elementCount, type Shape, showShape } from "../base/shape.ts";
import type { WeightRef } from "./baseCheckpoint.ts";
import type { ModelConfig } from "./modelConfig.ts";

/** One scale for every block of rows and columns of a weight. */
export interface WeightScale {
  readonly values: WeightRef;
  /** Scales along the weight's rows and columns. */
  readonly count: readonly [number, number];
  /** Rows and columns that share one; the last block of either may be cut short. */
  readonly block: readonly [number, number];
}

const suffixes = ["_scale_inv", "_scale"];

/** The weights with the scales of 8-bit ones attached to them, no longer tensors of their own. */
export function attachScales(
  weights: ReadonlyMap<string, WeightRef>,
  config: ModelConfig,
): ReadonlyMap<string, WeightRef> {
  const out = new Map(weights);
  for (const ref of weights.values()) {
    if (!ref.dtype.startsWith("F8_")) continue;
    const values = suffixes.map((suffix) => weights.get(ref.name + suffix)).find((each) => each);
    if (!values) continue;
    out.set(ref.name, { ...ref, scale: scaleOf(ref, values, config) });
    out.delete(values.name);
  }
  return out;
}

function scaleOf(ref: WeightRef, values: WeightRef, config: ModelConfig): WeightScale {
  if (!isReadableDtype(values.dtype)) {
    throw unsupported(t('{0}: scale "{1}" is {2}', values.file, values.name, values.dtype));
  }
  const fail = (): Error =>
    badFile(
      values.file,
      t(
        'scale "{0}" {1} does not fit its weight {2}',
        values.name,
        showShape(values.shape),
        showShape(ref.shape),
      ),
    );
  const [rows = 1, columns = 1, ...more] = ref.shape;
  if (elementCount(values.shape) === 1) {
    return { values, count: [1, 1], block: [rows, elementCount(ref.shape) / rows] };
  }
  const [rowScales = 1, columnScales = 1, ...others] = values.shape;
  if (more.length > 0 || others.length > 0) throw fail();
  const named = blockSize(config);
  const along = (size: number, scales: number, stated: number | undefined): number => {
    if (scales === 1) return size;
    for (const block of [stated ?? 128, 128, size / scales]) {
      if (Number.isInteger(block) && Math.ceil(size / block) === scales) return block;
    }
    throw fail();
  };
  const block = [along(rows, rowScales, named?.[0]), along(columns, columnScales, named?.[1])];
  return { values, count: [rowScales, columnScales], block: block as [number, number] };
}

/** `quantization_config.weight_block_size`, where a config states it. */
function blockSize({ raw }: ModelConfig): Shape | null {
  const quantization = raw["quantization_config"];
  const size = isObject(quantization) ? quantization["weight_block_size"] : null;
  const isPair = Array.isArray(size) && size.length === 2;
  return isPair && size.every((n) => Number.isInteger(n) && n > 0) ? (size as number[]) : null;
}

/** Multiplies values [rows, columns] by their blocks' scales, in place. */
export function applyScale(
  values: Float32Array,
  scales: Float32Array,
  at: { columns: number } & Pick<WeightScale, "count" | "block">,
): void {
  const { columns, count, block } = at;
  for (let row = 0; row * columns < values.length; row++) {
    const line = values.subarray(row * columns, (row + 1) * columns);
    const first = Math.floor(row / block[0]) * count[1];
    for (let i = 0; i < columns; i++) {
      const scale = scales[first + Math.floor(i / block[1])] as number;
      line[i] = (line[i] as number) * scale;
    }
  }
}
