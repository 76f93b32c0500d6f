/** Slots of a batch whose rows have effects of their own: other adapters or tasks for every row. */
import { t } from "@vscode/l10n";
import { badRequest, unsupported } from "../base/errors.ts";
import type { ActiveEffects, SlotTensor } from "./slots.ts";

/** The active effects of one row of the batch, with each adapter's task chosen. */
export function activeAt(active: readonly ActiveEffects[], row: number): ActiveEffects[] {
  return active.map((each) => {
    const { tasks } = each.effects;
    const picked = [each.task ?? 0].flat();
    const task = picked[row] ?? (picked[0] as number);
    if (!tasks) return each.task === undefined ? each : { ...each, task };
    const effects = tasks[task];
    if (effects) return { ...each, effects };
    throw badRequest(
      t("There is no task {0}: the adapter has {1}, counted from 0.", task, tasks.length),
    );
  });
}

/** The active effects of each row; one entry where all rows of any batch are treated alike. */
export function rowsOf(active: readonly ActiveEffects[]): ActiveEffects[][] {
  const tasks = active.flatMap(({ effects, task }) =>
    (effects.tasks ?? effects.virtualTokens) ? [[task ?? 0].flat()] : [],
  );
  const count = Math.max(1, ...tasks.map((picked) => picked.length));
  return Array.from({ length: count }, (_, row) => activeAt(active, row));
}

/**
 * Refuses adapters that no batch can hold in single rows. `rows` has one entry a row.
 * @throws unsupported, saying why
 */
export function checkRows(rows: readonly (readonly ActiveEffects[])[]): void {
  if (rows.length === 1) return;
  const all = rows.flat().filter(({ weight }) => weight !== 0);
  const isRouted = all.some(
    ({ effects }) =>
      effects.router !== undefined ||
      [...effects.linear.values()].some(({ routed }) => routed !== undefined),
  );
  // Their weights are averaged over all tokens of the pass, those of other rows included.
  if (isRouted && rows.some((row) => !isSame(row, rows[0] as readonly ActiveEffects[]))) {
    throw unsupported(
      t(
        "An adapter that routes tokens weighs its experts over the whole batch: it cannot act in some rows alone",
      ),
      t("Run these prompts one after another."),
    );
  }
}

function isEqual(a: Float32Array, b: Float32Array): boolean {
  return a === b || (a.length === b.length && a.every((value, i) => value === b[i]));
}

function isSame(a: readonly ActiveEffects[], b: readonly ActiveEffects[]): boolean {
  return a.length === b.length && a.every(({ effects }, i) => effects === b[i]?.effects);
}

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
