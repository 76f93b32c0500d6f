import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import * as path from "node:path";
import { after, test } from "node:test";
import { multiply, transposed } from "../../../../extension/core/base/matrix.ts";
import { seededRandom } from "../../../../extension/core/base/random.ts";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { openAdapterCheckpoint } from "../../../../extension/core/checkpoint/adapterCheckpoint.ts";
import { mergedWeight } from "../../../../extension/core/peft/effect.ts";
import { methodOf } from "../../../../extension/core/peft/index.ts";
import { writeSafetensors } from "../../../../extension/core/safetensors/write.ts";
import { difference, failure, temporaryFolder } from "../support.ts";
import { tinyLlama } from "./tinyLlama.ts";

// Variants that no golden case covers, by what defines them, on one layer of 32 × 64.
const module = "model.layers.0.self_attn.v_proj";
const size = { in: 64, out: 32 };
const { adaptable, session } = await loadBaseModel(tinyLlama);
after(() => session.dispose());
const weight = (await adaptable.readTensor(`${module}.weight`)) as Float32Array;

const random = seededRandom(5);
const noise = (shape: readonly number[]): Float32Array =>
  Float32Array.from({ length: shape.reduce((x, y) => x * y, 1) }, () => random() - 0.5);

/** W' [32, 64] under an adapter of these tensors: shapes with values, or with noise. */
async function changed(
  t: { after(done: () => Promise<void>): void },
  config: object,
  tensors: Readonly<Record<string, readonly number[] | [readonly number[], Float32Array]>>,
): Promise<Float32Array> {
  const folder = await temporaryFolder(t);
  const entries = Object.entries(tensors).map(([suffix, given]) => {
    const [shape, values] = Array.isArray(given[0])
      ? (given as [readonly number[], Float32Array])
      : [given as readonly number[], noise(given as readonly number[])];
    const name = `base_model.model.${module}.${suffix}`;
    return { name, dtype: "F32" as const, shape: [...shape], bytes: new Uint8Array(values.buffer) };
  });
  await writeSafetensors(path.join(folder, "adapter_model.safetensors"), entries);
  const text = JSON.stringify({ target_modules: [module], ...config });
  await writeFile(path.join(folder, "adapter_config.json"), text);
  const adapter = await openAdapterCheckpoint(folder);
  const { effects } = await methodOf(adapter.config).load(adapter, adaptable);
  return mergedWeight(weight, effects.linear.get(module) ?? {}, size);
}

/** W Wᵀ, which a rotation of the inputs keeps. */
function gram(matrix: Float32Array): Float64Array {
  const sizes = { rows: size.out, inner: size.in, columns: size.out };
  return multiply(matrix, transposed(matrix, size.out, size.in), sizes);
}

// prettier-ignore
const rotations: [name: string, config: object, tensors: Record<string, number[] | [number[], Float32Array]>][] = [
  ["HRA", { peft_type: "HRA", r: 5 }, { hra_u: [64, 5] }],
  ["HRA with Gram-Schmidt", { peft_type: "HRA", r: 3, apply_GS: true }, { hra_u: [64, 3] }],
  ["exact OFT of 8 blocks", { peft_type: "OFT", r: 8, oft_block_size: 0, use_cayley_neumann: false }, { "oft_R.weight": [8, 28] }],
  ["OFT whose block size is moved to 16", { peft_type: "OFT", r: 0, oft_block_size: 18, use_cayley_neumann: false }, { "oft_R.weight": [4, 120] }],
  ["BOFT of 2 factors", { peft_type: "BOFT", boft_block_size: 4, boft_n_butterfly_factor: 2 }, { boft_R: [2, 16, 4, 4], boft_s: [[32, 1], new Float32Array(32).fill(1)] }],
];

for (const [name, config, tensors] of rotations) {
  void test(`${name} keeps W Wᵀ and changes W`, async (t) => {
    const own = await changed(t, config, tensors);
    assert.ok(difference(gram(own), gram(weight)) < 1e-5);
    assert.ok(difference(own, weight) > 0.01);
  });
}

void test("MiSS bat multiplies the weight's blocks", async (t) => {
  const r = 4;
  const block = noise([8, r, r]);
  const own = await changed(
    t,
    { peft_type: "MISS", r, init_weights: "bat" },
    { miss_block: [[8, r, r], block] },
  );
  const entry = (row: number, column: number): number => weight[row * 64 + column] as number;
  const expected = weight.map((value, i) => {
    const [row, column] = [Math.floor(i / 64), i % 64];
    const at = (k: number): number =>
      block[(Math.floor(row / r) * r + k) * r + (column % r)] as number;
    let sum = value + at(row % r);
    for (let k = 0; k < r; k++) sum += entry(row, column - (column % r) + k) * at(k);
    return sum;
  });
  assert.ok(difference(own, expected) < 1e-6);
});

for (const [r, mini] of [
  [4, 8],
  [8, 4],
] as const) {
  void test(`MiSS mini repeats a block of ${r} × ${mini}`, async (t) => {
    const block = noise([r, mini]);
    const own = await changed(
      t,
      { peft_type: "MISS", r, mini_r: mini, init_weights: "mini" },
      { miss_block: [[r, mini], block] },
    );
    const expected = weight.map(
      (value, i) => value + (block[(i % r) * mini + (Math.floor(i / 64) % mini)] as number),
    );
    assert.ok(difference(own, expected) < 1e-6);
  });
}

void test("DEFT's PaRa with qr leaves nothing of the weight in the subspace", async (t) => {
  const p = noise([32, 3]);
  const config = { peft_type: "DEFT", r: 3, decomposition_method: "qr", para: true };
  const own = await changed(t, config, { deft_P: [[32, 3], p] });
  const left = multiply(transposed(p, 32, 3), own, { rows: 3, inner: 32, columns: 64 });
  assert.ok(Math.max(...left.map(Math.abs)) < 1e-5);
});

void test("PSOFT's free transform at the identity changes nothing", async (t) => {
  const identity = Float32Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 1 : 0));
  const plain = { peft_type: "PSOFT", r: 4, psoft_orth: false, psoft_mag_a: false };
  const own = await changed(
    t,
    { ...plain, psoft_mag_b: false, ab_svd_init: "pissa_init" },
    { "psoft_R.weight": [[4, 4], identity] },
  );
  assert.ok(difference(own, weight) < 1e-6);
});

void test("what cannot be computed as PEFT does is refused by name", async (t) => {
  const refused: [config: object, tensors: Record<string, number[]>, fragment: string][] = [
    [{ peft_type: "OFT", r: 8 }, { "oft_R.weight": [8, 28] }, "oft_block_size"],
    [{ peft_type: "WAVEFT", wavelet_family: "coif5" }, { waveft_spectrum: [4] }, "coif5"],
    [{ peft_type: "PSOFT", psoft_svd: "lowrank" }, { "psoft_R.weight": [6] }, "lowrank"],
  ];
  for (const [config, tensors, fragment] of refused) {
    await assert.rejects(changed(t, config, tensors), failure("unsupported", fragment));
  }
});
