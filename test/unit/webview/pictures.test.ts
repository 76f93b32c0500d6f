import assert from "node:assert/strict";
import { test } from "node:test";
import { toCsv } from "../../../webview/shared/csv.ts";
import { movePosition, rowWindow } from "../../../webview/shared/gridKeys.ts";
import { layerLabel, shortLabels } from "../../../webview/shared/labels.ts";
import { diverging, sequential } from "../../../webview/shared/scale.ts";

test("a table is written as RFC 4180 has it, with every digit", () => {
  const rows = [
    ["layers.0", 0.1 + 0.2, null],
    ['a "quoted", name', Number.NaN, "two\nlines"],
  ];
  assert.equal(
    toCsv(["Module", "Norm", "Note"], rows),
    'Module,Norm,Note\nlayers.0,0.30000000000000004,\n"a ""quoted"", name",,"two\nlines"\n',
  );
});

test("a name from a file cannot become a spreadsheet's formula", () => {
  assert.equal(toCsv(["x"], [["=HYPERLINK(1)"], ["@sum"], [-3]]), "x\n'=HYPERLINK(1)\n'@sum\n-3\n");
});

test("few values are steps that the legend names, many are a ramp", () => {
  const steps = sequential([8, 4, 8, 16]);
  assert.deepEqual([steps.kind, steps.values], ["steps", [4, 8, 16]]);
  assert.deepEqual([4, 8, 16].map(steps.shade), [0, 0.5, 1]);
  const ramp = sequential([1, 2, 3, 4, 5, 6, 9]);
  assert.deepEqual([ramp.kind, ramp.values, ramp.shade(5)], ["ramp", [1, 9], 0.5]);
});

test("one value alone is neither weak nor strong, and none is no picture", () => {
  assert.equal(sequential([7]).shade(7), 0.55);
  assert.equal(sequential([3, 3], { hasSteps: false }).shade(3), 0.55);
  assert.deepEqual(sequential([]).values, []);
});

test("a scale around zero keeps the sign and stays within its ends", () => {
  const scale = diverging(0.5);
  assert.deepEqual([-2, -0.25, 0, 0.5].map(scale.shade), [-1, -0.5, 0, 1]);
  assert.deepEqual(scale.values, [-0.5, 0.5]);
});

test("arrow keys stay within the grid; Home and End know Control", () => {
  const size = { rows: 4, columns: 7, hasControl: false };
  const check = (key: string, expected: [number, number] | null, hasControl = false): void => {
    const to = movePosition({ row: 1, column: 6 }, key, { ...size, hasControl });
    assert.deepEqual(to && [to.row, to.column], expected, key);
  };
  check("ArrowRight", [1, 6]);
  check("ArrowUp", [0, 6]);
  check("PageDown", [3, 6]);
  check("Home", [1, 0]);
  check("Home", [0, 0], true);
  check("End", [3, 6], true);
  check("a", null);
});

test("of a long grid the rows in view are drawn, and some around them", () => {
  const rows = { count: 6144, height: 16 };
  assert.deepEqual(rowWindow({ top: 0, height: 720 }, rows), { first: 0, end: 69 });
  const middle = rowWindow({ top: 16_000, height: 720 }, rows);
  assert(middle.first < 1000 && middle.end > 1045 && middle.end - middle.first < 80);
  assert.equal(rowWindow({ top: 1e9, height: 720 }, rows).end, 6144);
  assert.deepEqual(rowWindow({ top: 0, height: 720 }, { count: 3, height: 16 }), {
    first: 0,
    end: 3,
  });
});

test("labels are as short as they stay distinct", () => {
  assert.deepEqual(shortLabels(["self_attn.q_proj", "mlp.gate_proj"]), ["q", "gate"]);
  assert.deepEqual(shortLabels(["a.q_proj", "b.q_proj"]), ["a.q_proj", "b.q_proj"]);
  assert.deepEqual(["layers.3", "h.11", "", "encoder"].map(layerLabel), [
    "layer 3",
    "layer 11",
    "outside layers",
    "encoder",
  ]);
});
