import assert from "node:assert/strict";
import { test } from "node:test";
import { GraphBuilder } from "../../../../../extension/core/onnx/builder.ts";
import { Dropout } from "../../../../../extension/core/peft/trainable/dropout.ts";
import { dropoutSeedName } from "../../../../../extension/core/peft/trainable/names.ts";
import { ParameterInputs } from "../../../../../extension/core/peft/trainable/parameters.ts";
import {
  float32Tensor,
  int64Tensor,
  OrtSession,
} from "../../../../../extension/core/session/ortSession.ts";

test("numbers by chance are even, and independent from place to place", async (t) => {
  const g = new GraphBuilder();
  const dropout = new Dropout(new ParameterInputs([]));
  const x = g.input("x", "float32", ["batch", "seq", size]);
  for (const salt of ["a", "b"]) {
    const y = dropout.chance(g, x, { salt, size, rows: "stack" });
    g.output(y, salt, "float32", ["batch", "seq", size]);
  }
  const session = await OrtSession.create(g.build("chance"), { threads: 1 });
  t.after(() => session.dispose());
  const feeds = {
    x: float32Tensor(new Float32Array(batch * seq * size), [batch, seq, size]),
    [dropoutSeedName]: int64Tensor([7], [1]),
  };
  const made = await session.run(feeds);
  const [a, b] = ["a", "b"].map((name) => made[name]?.data as Float32Array) as [
    Float32Array,
    Float32Array,
  ];
  assert(a.every((value) => value > 0 && value < 1));
  const mean = (values: Float32Array): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const centred = (values: Float32Array): Float32Array => values.map((value) => value - 0.5);
  const product = (one: Float32Array, other: Float32Array): number =>
    mean(one.map((value, i) => value * (other[i % other.length] as number))) * 12;
  const shifted = (values: Float32Array, by: number): Float32Array =>
    values.map((_, i) => values[(i + by) % values.length] as number);
  const bound = 4 / Math.sqrt(a.length);
  const own = centred(a);
  assert(Math.abs(mean(own)) * Math.sqrt(12) < bound, `mean ${mean(a)}`);
  assert(Math.abs(product(own, own) - 1) < bound, `variance ${product(own, own) / 12}`);
  for (const other of [centred(b), shifted(own, 1), shifted(own, size)])
    assert(Math.abs(product(own, other)) < bound, `correlation ${product(own, other)}`);
});

const [batch, seq, size, probability] = [4, 96, 64, 0.25];

for (const columns of [size, null])
  void test(`dropout's masks of ${columns ?? "any number of"} columns follow from the seed, leave out as asked and differ where they must`, async (t) => {
    const g = new GraphBuilder();
    const dropout = new Dropout(new ParameterInputs([]));
    const x = g.input("x", "float32", ["batch", "seq", columns ?? "columns"]);
    for (const salt of ["a", "b"]) {
      const y = dropout.apply(g, x, { probability, salt, size: columns, rows: "stack" });
      g.output(y, salt, "float32", ["batch", "seq", columns ?? "columns"]);
    }
    const session = await OrtSession.create(g.build("dropout"), { threads: 1 });
    t.after(() => session.dispose());
    const ones = new Float32Array(batch * seq * size).fill(1);
    const run = async (seed: number): Promise<Record<"a" | "b", Float32Array>> => {
      const feeds = {
        x: float32Tensor(ones, [batch, seq, size]),
        [dropoutSeedName]: int64Tensor([seed], [1]),
      };
      const { a, b } = await session.run(feeds);
      return { a: a?.data as Float32Array, b: b?.data as Float32Array };
    };
    const first = await run(1);
    assert.deepEqual(await run(1), first);
    const kept = (mask: Float32Array): number =>
      mask.filter((value) => value !== 0).length / mask.length;
    const factor = Math.fround(1 / (1 - probability));
    assert(first.a.every((value) => value === 0 || Math.abs(value - factor) < 1e-6));
    // Both of two places stay as often as chance says: other modules, steps, tokens and columns.
    const together = (one: Float32Array, other: Float32Array): number =>
      one.filter((value, i) => value !== 0 && other[i] !== 0).length / one.length;
    const shifted = (mask: Float32Array, by: number): Float32Array =>
      Float32Array.from(mask, (_, i) => mask[(i + by) % mask.length] as number);
    const next = (await run(2)).a;
    const spread = 4 * Math.sqrt(0.25 / ones.length);
    assert(Math.abs(kept(first.a) - (1 - probability)) < spread, `${kept(first.a)} stay`);
    const others = [first.b, next, shifted(first.a, 1), shifted(first.a, size)];
    for (const [i, other] of others.entries()) {
      const share = together(first.a, other);
      assert(Math.abs(share - (1 - probability) ** 2) < spread, `${i}: ${share} stay in both`);
    }
  });

void test("a module's masks take as many as asked, others for another seed and key", async (t) => {
  const g = new GraphBuilder();
  const masks = new Dropout(new ParameterInputs([])).masks(g, "layer");
  const places = 4096;
  const made = {
    some: masks.some(probability, { size: places, key: "a" }),
    other: masks.some(probability, { size: places, key: "b" }),
    exactly: masks.exactly(5, { size: 12, key: "c" }),
    none: masks.exactly(0, { size: 12, key: "d" }),
  };
  for (const [name, mask] of Object.entries(made)) g.output(mask, name, "float32", ["size"]);
  const session = await OrtSession.create(g.build("masks"), { threads: 1 });
  t.after(() => session.dispose());
  const run = async (seed: number): Promise<(name: keyof typeof made) => number[]> => {
    const values = await session.run({ [dropoutSeedName]: int64Tensor([seed], [1]) });
    return (name) => [...(values[name]?.data as Float32Array)];
  };
  const count = (mask: readonly number[]): number => mask.filter((value) => value === 1).length;
  const [first, again, next] = [await run(1), await run(1), await run(2)];
  const bound = 4 * Math.sqrt(probability * (1 - probability) * places);
  for (const mask of [first("some"), first("other"), next("some")]) {
    assert(Math.abs(count(mask) - probability * places) < bound, `${count(mask)} of ${places}`);
    assert(mask.every((value) => value === 0 || value === 1));
  }
  assert.deepEqual(again("some"), first("some"));
  for (const other of [first("other"), next("some")]) {
    const both = first("some").filter((value, i) => value === 1 && other[i] === 1).length;
    assert(Math.abs(both - probability ** 2 * places) < bound, `${both} in both`);
  }
  assert.equal(count(first("exactly")), 5);
  assert.equal(count(next("exactly")), 5);
  assert.notDeepEqual(next("exactly"), first("exactly"));
  assert.equal(count(first("none")), 0);
});
