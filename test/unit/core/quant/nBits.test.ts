import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyRows, packRows, unpackRows } from "../../../../extension/core/quant/nBits.ts";

/** The documented rounding written plainly: codes and scale of one block. */
function plain(block: number[], bits: 4 | 8): { codes: number[]; scale: number } {
  const half = 2 ** (bits - 1);
  const round = (x: number, scale: number): number =>
    Math.min(
      2 * half - 1,
      Math.max(0, Math.trunc((scale === 0 ? 0 : x * (1 / scale)) + half + 0.5)),
    );
  const most = block.reduce((m, x) => (Math.abs(x) > Math.abs(m) ? x : m), 0);
  if (bits === 8 || most === 0) {
    const scale = Math.fround(most / -half) + 0;
    return { scale, codes: block.map((x) => round(x, scale)) };
  }
  const tried = [8, 8.7, 9.4].map((steps) => {
    const q = block.map((x) => Math.min(15, Math.trunc(x * (-steps / most) + 8.5)) - 8);
    const xq = block.reduce((sum, x, i) => sum + x * (q[i] as number), 0);
    const qq = q.reduce((sum, code) => sum + code ** 2, 0);
    return { explained: (xq * xq) / qq, scale: xq / qq };
  });
  const best = tried.reduce((a, b) => (b.explained > a.explained ? b : a));
  const scale = Math.fround(best.scale);
  return { scale, codes: block.map((x) => round(x, scale)) };
}

/** Numbers that are the same everywhere. */
function numbers(count: number): Float32Array {
  let seed = 7;
  return Float32Array.from({ length: count }, () => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    const [a, b] = [seed / 2147483648, (seed % 1000) / 1000];
    return (a + b - 1) ** 3 / 5;
  });
}

for (const bits of [4, 8] as const) {
  for (const [columns, blockSize] of [
    [64, 32],
    [256, 128],
    [96, 64],
    [33, 16],
    [8, 32],
  ] as const) {
    void test(`${bits} bits, ${columns} columns in blocks of ${blockSize}: as the plain reference`, () => {
      const rows = 5;
      const layout = { bits, blockSize, columns };
      const values = numbers(rows * columns);
      values.fill(0, 0, Math.min(blockSize, columns));
      const packed = emptyRows(layout, rows);
      const { error, total } = packRows(values, layout, packed);
      const back = unpackRows(packed, layout);
      const blocks = Math.ceil(columns / blockSize);
      let lost = 0;
      for (let block = 0; block < rows * blocks; block++) {
        const row = Math.floor(block / blocks);
        const start = row * columns + (block % blocks) * blockSize;
        const end = Math.min(start + blockSize, (row + 1) * columns);
        const own = plain([...values.subarray(start, end)], bits);
        assert.equal(packed.scales[block], own.scale);
        own.codes.forEach((code, i) => {
          const value = Math.fround((code - 2 ** (bits - 1)) * own.scale);
          assert.equal(back[start + i], value === 0 ? back[start + i] : value);
          const at = (block * blockSize * bits) / 8 + (bits === 8 ? i : i >> 1);
          const byte = packed.codes[at] as number;
          assert.equal(bits === 8 ? byte : i % 2 === 0 ? byte & 15 : byte >> 4, code);
          lost += ((values[start + i] as number) - (back[start + i] as number)) ** 2;
        });
      }
      assert(Math.abs(error - lost) <= 1e-9 * Math.max(1, lost) && total > 0);
    });
  }
}

void test("values that are no numbers are seen in the sums", () => {
  const layout = { bits: 4, blockSize: 32, columns: 32 } as const;
  for (const bad of [NaN, Infinity]) {
    const values = numbers(32);
    values[3] = bad;
    assert(!Number.isFinite(packRows(values, layout, emptyRows(layout, 1)).total));
  }
});
