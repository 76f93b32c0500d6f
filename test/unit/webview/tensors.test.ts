import assert from "node:assert/strict";
import { test } from "node:test";
import type { TensorRow } from "../../../extension/protocol/tensorContract.ts";
import {
  type Line,
  linesOf,
  matcherOf,
  type SortKey,
  sortTensors,
  tableFields,
  tableJson,
  totalsOf,
} from "../../../webview/tensors/rows.ts";
import {
  firstInView,
  firstWith,
  holds,
  parseIndex,
  scrollFor,
  showCell,
  windowAround,
} from "../../../webview/tensors/valueCells.ts";

function row(name: string, shape: number[] = [2, 3], more: Partial<TensorRow> = {}): TensorRow {
  return { name, dtype: "F32", shape, offset: 0, bytes: 24, file: 0, ...more };
}

const names = [
  "model.layers.10.q.weight",
  "model.layers.2.q.weight",
  "model.layers.2.k.weight",
  "model.embed.weight",
];

test("numbers in names are sorted as numbers, and ties by name", () => {
  const tensors = names.map((name) => row(name));
  const sorted = (key: SortKey, isDown = false): string[] =>
    sortTensors(tensors, { key, isDown }).map(({ name }) => name);
  assert.deepEqual(sorted("name"), [names[3], names[2], names[1], names[0]]);
  assert.deepEqual(sorted("name", true), [names[0], names[1], names[2], names[3]]);
  assert.deepEqual(sorted("bytes", true), sorted("name"));
});

test("each column sorts by what it shows", () => {
  const a = row("a", [3], { bytes: 12, offset: 90, dtype: "F32" });
  const b = row("b", [2, 2], { bytes: 8, offset: 50, dtype: "BF16" });
  const c = row("c", [], { bytes: 8, offset: 10, dtype: "F64", file: 1 });
  const by = (key: SortKey): string =>
    sortTensors([c, a, b], { key, isDown: false })
      .map(({ name }) => name)
      .join("");
  assert.deepEqual(
    [by("name"), by("dtype"), by("shape"), by("bytes"), by("offset")],
    ["abc", "bac", "cab", "bca", "bac"],
  );
});

for (const [query, expected, isBroken = false] of [
  ["", 4],
  ["weight", 4],
  ["layers q", 2],
  ["LAYERS.2", 2],
  ["f32", 4],
  ["bf16", 0],
  ["*.layers.*.q.*", 2],
  ["layers.?.q", 1],
  ["/layers\\.\\d+\\.k/", 1],
  ["/embed", 1],
  ["/(/", 0, true],
] as [string, number, boolean?][]) {
  test(`searching for "${query}" finds ${expected}`, () => {
    const matcher = matcherOf(query);
    const tensors = names.map((name) => row(name));
    assert.equal(tensors.filter((each) => matcher.matches(each)).length, expected);
    assert.equal(matcher.isBroken, isBroken);
  });
}

test("modules group what lies in them; those with one module alone share its line", () => {
  const tensors = [...names, "bias"].map((name) => row(name));
  const shown = (lines: Line[]): string[] =>
    lines.map((line) => `${"  ".repeat(line.depth)}${line.label}${line.kind === "module" ? ` (${line.tensors})` : ""}`); // prettier-ignore
  assert.deepEqual(shown(linesOf(tensors, { isOpen: () => false })), ["model (4)", "bias"]);
  const open = new Set(["model", "model.layers", "model.layers.2"]);
  assert.deepEqual(shown(linesOf(tensors, { isOpen: (module) => open.has(module) })), [
    "model (4)",
    "  layers (3)",
    "    10.q (1)",
    "    2 (2)",
    "      q (1)",
    "      k (1)",
    "  embed (1)",
    "bias",
  ]);
  const [first] = linesOf(tensors, { isOpen: () => false });
  assert.deepEqual(first?.kind === "module" && [first.values, first.bytes], [24, 96]);
});

test("totals, CSV fields and JSON tell the table", () => {
  const tensors = [row("a"), row("b", [5], { dtype: "U8", bytes: 5, offset: 24, file: 1 })];
  assert.deepEqual(totalsOf(tensors), [
    { dtype: "F32", tensors: 1, values: 6, bytes: 24 },
    { dtype: "U8", tensors: 1, values: 5, bytes: 5 },
  ]);
  const file = { path: "", bytes: 0, dataStart: 0, stamp: "", metadata: {} };
  const table = { tensors, problems: [], files: ["x", "y"].map((name) => ({ ...file, name })) };
  assert.deepEqual(tableFields(table, tensors).rows[1], ["b", "U8", "5", 5, 24, 29, "y"]);
  assert.deepEqual(JSON.parse(tableJson(table, tensors.slice(1))), [
    { name: "b", dtype: "U8", shape: [5], bytes: 5, begin: 24, end: 29, file: "y" },
  ]);
});

for (const [cell, dtype, digits, expected] of [
  [0.10000000149011612, "F32", "4", "0.1"],
  [0.10000000149011612, "F32", "all", "0.100000001"],
  [0.123456789, "F64", "8", "0.12345679"],
  [-1.5, "BF16", "4", "−1.5"],
  [123456.789, "F32", "4", "123500"],
  [1.25e-7, "F32", "4", "1.25e−7"],
  [3e38, "F32", "4", "3e+38"],
  [-12345, "I32", "4", "−12345"],
  ["9007199254740993", "I64", "4", "9007199254740993"],
  ["NaN", "F16", "4", "NaN"],
  ["-Infinity", "F16", "4", "−Infinity"],
  ["-0", "F32", "4", "−0"],
  ["1.5 − 2i", "C64", "4", "1.5 − 2i"],
] as [number | string, string, "4" | "8" | "all", string][]) {
  test(`${cell} of ${dtype} with ${digits} digits is ${expected}`, () => {
    assert.equal(showCell(cell, dtype, digits), expected);
  });
}

test("scrolling reaches the last row however many there are, and back", () => {
  for (const count of [20, 1000, 2 ** 31]) {
    const axis = { count, inView: 15 };
    assert.equal(firstInView(axis, 0, 8e6), 0);
    assert.equal(firstInView(axis, 8e6, 8e6), count - 15);
    const first = Math.floor(count / 3);
    const back = firstInView(axis, scrollFor(axis, first, 8e6), 8e6);
    assert(Math.abs(back - Math.min(first, count - 15)) <= count / 8e6);
  }
  assert.equal(firstInView({ count: 3, inView: 15 }, 0, 0), 0);
});

test("a cell is brought into view by the shortest way", () => {
  const axis = { count: 100, inView: 10 };
  assert.deepEqual(
    [5, 14, 15, 40, 99].map((index) => firstWith(axis, 5, index)),
    [5, 5, 6, 31, 90],
  );
  assert.equal(firstWith(axis, 50, 20), 20);
});

test("what is asked for holds what is in view and some around it", () => {
  const [rows, columns] = [
    { first: 40, count: 100, inView: 10 },
    { first: 0, count: 3, inView: 8 },
  ];
  const window = windowAround(rows, columns, [7]);
  assert.deepEqual(window, { leading: [7], row: 30, rows: 30, column: 0, columns: 3 });
  assert(holds(window, { ...rows, first: 50 }, columns));
  assert(!holds(window, { ...rows, first: 51 }, columns));
  assert(!holds(window, { ...rows, first: 29 }, columns));
});

test("an index is read in the ways that people write it", () => {
  const shape = [3, 4, 50];
  assert.deepEqual(parseIndex("2, 3, 49", shape), [2, 3, 49]);
  assert.deepEqual(parseIndex("[1][7]", shape), [1, 7]);
  assert.deepEqual(parseIndex(" 49 ", shape), [49]);
  for (const wrong of ["", "50", "3, 0, 0", "0, 0, 0, 0", "-1", "a"]) {
    assert.equal(parseIndex(wrong, shape), null, wrong);
  }
});
