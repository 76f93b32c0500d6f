import assert from "node:assert/strict";
import { test } from "node:test";
import { stackRows } from "../../../../../extension/core/peft/slots/stackRows.ts";

test("rows of other ranks are padded block by block", () => {
  const slot = (rows: number, values: readonly number[]): Parameters<typeof stackRows>[0] => [
    [{ name: "A", shape: [1, rows, 2], data: Float32Array.from(values), blocks: 2 }],
  ];
  const [narrow] = slot(2, [1, 2, 3, 4]);
  const [wide] = slot(4, [1, 2, 3, 4, 5, 6, 7, 8]);
  const [stacked] = stackRows([narrow ?? [], wide ?? []]);
  assert.deepEqual(stacked?.shape, [2, 4, 2]);
  assert.deepEqual([...stacked.data], [1, 2, 0, 0, 3, 4, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
});
