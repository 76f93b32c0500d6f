import { t } from "@vscode/l10n";
import { badRequest } from "../../base/errors.ts";
import type { SlotTensor } from "./slotTensors.ts";

/** One tensor [rows, …] of each slot's tensors [1, …] of single rows; smaller ones are padded with zeros. */
export function stackRows(rows: readonly (readonly SlotTensor[])[]): SlotTensor[] {
  const [first = []] = rows;
  return first.map((tensor, i) => {
    const { name, shape } = tensor;
    const parts = rows.map((tensors) => tensors[i] as SlotTensor);
    if (shape.length !== 3) {
      if (parts.every((part) => isEqual(part.data, tensor.data))) return tensor;
      throw badRequest(t("The rows of a batch cannot differ in {0}.", name));
    }
    const [height, width] = [1, 2].map((axis) =>
      Math.max(...parts.map((part) => part.shape[axis] as number)),
    ) as [number, number];
    const data = new Float32Array(rows.length * height * width);
    const { blocks = 1 } = tensor;
    parts.forEach((part, row) => {
      const [, own = 0, columns = 0] = part.shape;
      for (let line = 0; line < own; line++) {
        const block = Math.floor((line * blocks) / own);
        const place = row * height + line + (block * (height - own)) / blocks;
        data.set(part.data.subarray(line * columns, (line + 1) * columns), place * width);
      }
    });
    return { name, shape: [rows.length, height, width], data };
  });
}

function isEqual(a: Float32Array, b: Float32Array): boolean {
  return a === b || (a.length === b.length && a.every((value, i) => value === b[i]));
}
