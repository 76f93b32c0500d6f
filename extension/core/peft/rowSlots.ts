/** Slots of a batch whose rows have effects of their own: another task for every row. */
import { badRequest } from "../base/errors.ts";
import type { ActiveEffects, SlotTensor } from "./slots.ts";

/** The active effects of one row of the batch, with each adapter's task chosen. */
export function activeAt(active: readonly ActiveEffects[], row: number): ActiveEffects[] {
  return active.map((each) => {
    const { tasks } = each.effects;
    if (!tasks) return each;
    const picked = [each.task ?? 0].flat();
    const task = picked[row] ?? (picked[0] as number);
    const effects = tasks[task];
    if (effects) return { ...each, effects };
    throw badRequest(`There is no task ${task}: the adapter has ${tasks.length}, counted from 0.`);
  });
}

/** How many rows differ: 1 where all rows of any batch are treated alike. */
export function distinctRows(active: readonly ActiveEffects[]): number {
  const tasks = active.flatMap(({ effects, task }) => (effects.tasks ? [[task ?? 0].flat()] : []));
  return Math.max(1, ...tasks.map((picked) => picked.length));
}

/** One tensor [rows, …] of each slot's tensors [1, …] of single rows; smaller ones are padded with zeros. */
export function stackRows(rows: readonly (readonly SlotTensor[])[]): SlotTensor[] {
  const [first = []] = rows;
  return first.map((tensor, i) => {
    const { name, shape } = tensor;
    const parts = rows.map((tensors) => tensors[i] as SlotTensor);
    if (shape.length !== 3) {
      if (parts.every(({ data }) => data.join() === tensor.data.join())) return tensor;
      throw badRequest(`The rows of a batch cannot differ in ${name}.`);
    }
    const [height, width] = [1, 2].map((axis) =>
      Math.max(...parts.map((part) => part.shape[axis] as number)),
    ) as [number, number];
    const data = new Float32Array(rows.length * height * width);
    parts.forEach((part, row) => {
      const [, own = 0, columns = 0] = part.shape;
      for (let line = 0; line < own; line++) {
        const values = part.data.subarray(line * columns, (line + 1) * columns);
        data.set(values, (row * height + line) * width);
      }
    });
    return { name, shape: [rows.length, height, width], data };
  });
}
