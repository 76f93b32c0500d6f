import assert from "node:assert/strict";
import { test } from "node:test";
import type { ProblemType } from "../../../../../extension/core/models/problem.ts";
import {
  type KnownLabels,
  LabelNames,
  type Labelling,
} from "../../../../../extension/core/train/data/labels.ts";
import type { Label } from "../../../../../extension/core/train/data/example.ts";

type Given = Label | readonly Label[];

function read(given: readonly Given[], known: Partial<KnownLabels> = {}): [Labelling, number[][]] {
  const labels = new LabelNames({ names: [], problem: null, ...known });
  const places = given.map((label) =>
    typeof label === "object" ? label.map((each) => labels.placeOf(each)) : labels.placeOf(label),
  );
  const labelling = labels.finish(places);
  return [labelling, places.map((each) => [...labelling.rowOf(each)])];
}

const [one, several, numbers] = [
  "single_label_classification",
  "multi_label_classification",
  "regression",
] as const;

const cases: [string, readonly Given[], Partial<KnownLabels>, ProblemType, number[][]][] = [
  ["names are classes", ["sad", "glad"], {}, one, [[1], [0]]],
  ["whole numbers are ids", [2, 0], {}, one, [[2], [0]]],
  ["cells of a table are ids too", ["1", "0"], {}, one, [[1], [0]]],
  ["fractions are learned as numbers", [0.5, 2, -1], {}, numbers, [[0.5], [2], [-1]]],
  ["so are cells", ["0.5", "1e1"], {}, numbers, [[0.5], [10]]],
  [
    "a model of one label learns numbers",
    [3, 4],
    { problem: numbers, names: ["LABEL_0"] },
    numbers,
    [[3], [4]],
  ],
  [
    "lists of names may apply together",
    [["b"], ["a", "b"], []],
    {},
    several,
    [
      [0, 1],
      [1, 1],
      [0, 0],
    ],
  ],
  [
    "lists of ids may, too",
    [[0, 2], [1]],
    {},
    several,
    [
      [1, 0, 1],
      [0, 1, 0],
    ],
  ],
  [
    "a mark for each label",
    [
      [0, 1, 1],
      [0, 0, 0],
    ],
    {},
    several,
    [
      [0, 1, 1],
      [0, 0, 0],
    ],
  ],
  [
    "marks by the base's labels",
    [
      [0, 1],
      [1, 0],
    ],
    { names: ["x", "y"] },
    several,
    [
      [0, 1],
      [1, 0],
    ],
  ],
  [
    "shares of labels",
    [
      [0.5, 1],
      [0, 0.25],
    ],
    {},
    several,
    [
      [0.5, 1],
      [0, 0.25],
    ],
  ],
  [
    "numbers beyond shares",
    [
      [0.5, 3],
      [0, -2],
    ],
    {},
    numbers,
    [
      [0.5, 3],
      [0, -2],
    ],
  ],
  [
    "what is asked for counts",
    [
      [0, 1],
      [1, 1],
    ],
    { problem: numbers },
    numbers,
    [
      [0, 1],
      [1, 1],
    ],
  ],
];

for (const [name, given, known, problem, rows] of cases) {
  void test(name, () => {
    const [labelling, own] = read(given, known);
    assert.deepEqual([labelling.problem, own], [problem, rows]);
  });
}

void test("labels that do not fit are refused", () => {
  assert.throws(() => read(["sad", 1], { problem: numbers }), /learns numbers.*sad/);
  assert.throws(() => read([[1.5, 2], [0.5]]), /need as many/);
  assert.throws(() => read([0.5], { problem: one }), /single_label_classification.*0\.5/);
  assert.throws(() => read([["a"]], { problem: one }), /one label of each text/);
  assert.throws(() => read([[0.5, 1, 0]], { problem: numbers, names: ["x", "y"] }), /3 numbers.*2/);
  assert.throws(() => read(["odd"], { names: ["sad", "glad"] }), /does not know: odd.*new head/);
});

void test("a preview names marked labels", () => {
  const [labelling] = read(
    [
      [0, 1, 1],
      [0, 0, 1],
    ],
    { names: ["x", "y", "z"] },
  );
  assert.deepEqual(labelling.tell([0, 1, 1]), ["y", "z"]);
});
