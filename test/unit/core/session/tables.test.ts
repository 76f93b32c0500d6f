import assert from "node:assert/strict";
import { test } from "node:test";
import { KvCache } from "../../../../extension/core/session/kvCache.ts";
import { RopeTable } from "../../../../extension/core/session/ropeTable.ts";

const shape = { layers: 2, keyValueHeads: 2, headDim: 3 };
const batch = 2;

/** What the model would give for a token: another number at every place. */
function value(tensor: number, row: number, token: number, dim: number): number {
  return tensor * 4_000_000 + row * 1_000_000 + token * 10 + dim;
}

/** New rows [2 · layers, batch, kv heads, seq, dim] for the tokens from `start` on. */
function newRows(start: number, seq: number): Float32Array {
  const out: number[] = [];
  for (let tensor = 0; tensor < 2 * shape.layers; tensor++) {
    for (let row = 0; row < batch * shape.keyValueHeads; row++) {
      for (let token = start; token < start + seq; token++) {
        for (let dim = 0; dim < shape.headDim; dim++) out.push(value(tensor, row, token, dim));
      }
    }
  }
  return Float32Array.from(out);
}

/** Every cached row is the one that was appended for its token. */
function checkRows(cache: KvCache, tokens: readonly number[]): void {
  assert.equal(cache.length, tokens.length);
  for (let tensor = 0; tensor < 2 * shape.layers; tensor++) {
    const data = tensor < shape.layers ? cache.key(tensor) : cache.value(tensor - shape.layers);
    assert.equal(data.length, batch * shape.keyValueHeads * cache.capacity * shape.headDim);
    for (let row = 0; row < batch * shape.keyValueHeads; row++) {
      tokens.forEach((token, place) => {
        const start = (row * cache.capacity + place) * shape.headDim;
        const expected = [0, 1, 2].map((dim) => value(tensor, row, token, dim));
        assert.deepEqual([...data.subarray(start, start + shape.headDim)], expected);
      });
    }
  }
}

const range = (start: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => start + i);

const growths: [parts: number[], capacities: number[]][] = [
  [
    [1, 1, 1],
    [64, 64, 64],
  ],
  [
    [64, 1],
    [64, 128],
  ],
  [
    [63, 2, 64],
    [64, 128, 192],
  ],
  [
    [1, 300, 900],
    [64, 320, 1280],
  ],
];

for (const [parts, capacities] of growths) {
  test(`a cache that gets ${parts.join(", ")} tokens keeps them all`, () => {
    const cache = new KvCache(shape, batch);
    const seen: number[] = [];
    parts.forEach((seq, i) => {
      cache.append(newRows(seen.length, seq), seq);
      seen.push(...range(seen.length, seq));
      assert.equal(cache.capacity, capacities[i]);
      checkRows(cache, seen);
    });
  });
}

test("truncating forgets the end; what follows takes its place", () => {
  const cache = new KvCache(shape, batch);
  cache.append(newRows(0, 10), 10);
  cache.truncate(4);
  checkRows(cache, range(0, 4));
  cache.append(newRows(500, 70), 70);
  checkRows(cache, [...range(0, 4), ...range(500, 70)]);
  cache.truncate(1000);
  assert.equal(cache.length, 74);
});

test("an empty cache has no capacity", () => {
  const cache = new KvCache(shape, batch);
  assert.deepEqual([cache.length, cache.capacity, cache.key(1).length], [0, 0, 0]);
});

test("rope rows are cos and sin of position · frequency, in fp32", () => {
  const frequencies = Float32Array.of(1, 0.1, 0.01);
  const table = new RopeTable({
    suffix: "",
    size: 6,
    attentionFactor: 1,
    isRestarting: false,
    frequencies: () => frequencies,
  });
  for (const rows of [1, 3, 2, 400, 5]) {
    const { cos, sin, shape: size } = table.rows(rows);
    const [count] = size;
    assert(count >= rows);
    assert.deepEqual([cos.length, sin.length], [3 * count, 3 * count]);
    for (let position = 0; position < count; position++) {
      frequencies.forEach((frequency, i) => {
        const angle = Math.fround(position * frequency);
        assert.equal(cos[position * 3 + i], Math.fround(Math.cos(angle)));
        assert.equal(sin[position * 3 + i], Math.fround(Math.sin(angle)));
      });
    }
  }
});
