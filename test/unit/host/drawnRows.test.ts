import assert from "node:assert/strict";
import { test } from "node:test";
import { DrawnRows } from "../../../extension/views/drawnRows.ts";
import type { Row } from "../../../extension/views/rows.ts";

interface Node {
  word: string;
}

const row = (id: string, word: string): Row => ({
  ...{ id, label: id, description: word, icon: "circle", contextValue: "" },
  ...{ status: word, facts: [] },
});

test("only rows that look otherwise are drawn again, all when one comes or goes", () => {
  const drawn = new DrawnRows<Node>();
  const nodes = new Map(["a", "b"].map((id) => [id, { word: "" }]));
  const change = (words: Record<string, string>): Node[] | undefined => {
    const entries = Object.entries(words);
    const rows = entries.map(([id, word]) => ({
      id,
      look: () => row(id, word),
      renew: (node: Node) => void (node.word = word),
    }));
    return drawn.changed(Object.keys(words), rows);
  };
  assert.equal(change({ a: "one", b: "two" }), undefined);
  for (const [id, node] of nodes) drawn.draw(node, row(id, id === "a" ? "one" : "two"));
  assert.deepEqual(change({ a: "one", b: "two" }), []);
  const [b, ...others] = change({ a: "one", b: "three" }) ?? [];
  assert.deepEqual([b === nodes.get("b"), b?.word, others], [true, "three", []]);
  assert.equal(change({ b: "three", a: "one" }), undefined);
  assert.equal(change({ a: "one" }), undefined);
});
