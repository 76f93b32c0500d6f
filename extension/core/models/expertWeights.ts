/**
 * Weights of experts, which files keep in one of two ways: each expert's own, or all experts' stacked
 * in one tensor as transformers 5 has them in memory. Both become the same names, one part of one
 * expert each; a part of a stack is a range of its bytes, so nothing is copied.
 */
import { t } from "@vscode/l10n";
import { badFile } from "../base/errors.ts";
import type { WeightRef } from "../checkpoint/baseCheckpoint.ts";

const stacked = /^(.*\.experts)\.(gate_up_proj|down_proj)$/;

/** Parts of an expert's matrices, from the first row on. */
export const expertParts = { gate_up_proj: ["gate_proj", "up_proj"], down_proj: ["down_proj"] };

/**
 * A parameter of experts [experts, out, in] as the parts of each; null for all others.
 * @throws bad-file when the tensor cannot be divided
 */
export function partsOfStack(name: string, ref: WeightRef): [string, WeightRef][] | null {
  const [, path, matrix] = stacked.exec(name) ?? [];
  if (path === undefined || matrix === undefined) return null;
  const parts = expertParts[matrix as keyof typeof expertParts];
  const [experts = 0, out = 0, inputs = 0] = ref.shape;
  const rows = out / parts.length;
  if (ref.shape.length !== 3 || !Number.isInteger(rows) || ref.strides || ref.scale) {
    throw badFile(ref.file, t('tensor "{0}" must be plain values [experts, out, in]', ref.name));
  }
  const byteLength = ref.byteLength / (experts * parts.length);
  return Array.from({ length: experts }, (_, expert) => expert).flatMap((expert) =>
    parts.map((part, i): [string, WeightRef] => [
      `${path}.${expert}.${part}.weight`,
      {
        ...ref,
        shape: [rows, inputs],
        offset: ref.offset + (expert * parts.length + i) * byteLength,
        byteLength,
      },
    ]),
  );
}
