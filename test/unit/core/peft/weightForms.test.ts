import assert from "node:assert/strict";
import * as path from "node:path";
import { writeFile } from "node:fs/promises";
import { test } from "node:test";
import { activations } from "../../../../extension/core/base/activations.ts";
import { seededRandom } from "../../../../extension/core/base/random.ts";
import { openAdapterCheckpoint } from "../../../../extension/core/checkpoint/adapterCheckpoint.ts";
import { mergedBias, mergedWeight } from "../../../../extension/core/peft/effect.ts";
import { methodOf } from "../../../../extension/core/peft/index.ts";
import type { MethodBase } from "../../../../extension/core/peft/method.ts";
import { writeSafetensors } from "../../../../extension/core/safetensors/write.ts";
import { difference, temporaryFolder } from "../support.ts";

const [inputs, outputs, r] = [5, 4, 2];
const name = "model.layers.0.mlp.up_proj";
const random = seededRandom(3);
const make = (...shape: number[]): Tensor => ({
  shape,
  data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random() - 0.5),
});
interface Tensor {
  shape: number[];
  data: Float32Array | Int32Array;
}

const weight = make(outputs, inputs).data as Float32Array;
const bias = make(outputs).data as Float32Array;
const module = { kind: "linear", path: name, in: inputs, out: outputs, hasBias: true } as const;
const base: MethodBase = {
  modelType: "llama",
  config: { file: "config.json", modelType: "llama", architecture: "", raw: {} },
  tree: { modules: [module], outputEmbedding: null },
  groups: [],
  attention: { layers: 1, heads: 1, keyValueHeads: 1, headDim: 2 },
  readTensor: (tensor) => Promise.resolve(tensor === `${name}.bias` ? bias : weight),
  withLayers: () => base,
};

const at = ({ data }: Tensor, i: number): number => data[i] as number;
/** (x y)[row, column] of x [·, inner] and y [inner, columns]. */
const product = (x: Tensor, y: Tensor, row: number, column: number): number => {
  const [inner = 0, columns = 0] = y.shape;
  let sum = 0;
  for (let k = 0; k < inner; k++) sum += at(x, row * inner + k) * at(y, k * columns + column);
  return sum;
};
const dotRow = (row: number, c: (column: number) => number): number =>
  Array.from({ length: inputs }, (_, k) => (weight[row * inputs + k] as number) * c(k)).reduce(
    (a, b) => a + b,
  );

interface Case {
  title: string;
  config: object;
  tensors: Record<string, Tensor>;
  weight: (w: number, row: number, column: number) => number;
  bias?: (b: number, row: number) => number;
}

const g = { a: make(outputs, r), au: make(r, inputs), b: make(outputs, r), bu: make(r, inputs) };
const c = { d: make(inputs, r), u: make(r, 1) };
const [vectorA, vectorB, vectorC] = [make(outputs, 1), make(outputs, 1), make(inputs, 1)];
const [vectorD, vectorE, one, two] = [make(outputs), make(outputs), make(1), make(1)];
const p = { a: make(r, outputs), e: make(r, r), d: make(r, r), b: make(outputs, r) };
const s = { a: make(r, inputs), b: make(outputs, r), values: make(4) };
const u = { theta: make(6), a: make(r, inputs), b: make(outputs, r) };
const places = (...shape: number[]): Tensor => ({
  shape,
  data: Int32Array.from({ length: (shape[0] ?? 0) * (shape[1] ?? 0) }, (_, i) => i % 6),
});
const m = { newB: make(3, inputs + 1), a: make(1, 3), b: make(outputs, 1) };

/** Column `column` of PEANuT's network with one hidden layer on each side. */
function peanut(column: number): number[] {
  const f = activations.gelu;
  const layer = (x: Tensor, values: number[]): number[] =>
    Array.from({ length: r }, (_, i) =>
      f(values.reduce((sum, value, k) => sum + at(x, i * values.length + k) * value, 0)),
    );
  const first = layer(
    p.a,
    Array.from({ length: outputs }, (_, row) => weight[row * inputs + column] as number),
  );
  return layer(p.d, layer(p.e, first)).map((value, i) => value + (first[i] as number));
}

/** Positions of the four smallest |W|, in that order. */
const smallest = [...weight.keys()]
  .sort((i, j) => Math.abs(weight[i] as number) - Math.abs(weight[j] as number))
  .slice(0, 4);

const cases: Case[] = [
  {
    title: "GLoRA of products, numbers on the bias",
    config: { peft_type: "GLORA", r, config_A_B: "lora", config_C: "lora", config_D_E: "constant" },
    tensors: {
      "glora_A.Xd": g.a,
      "glora_A.Xu": g.au,
      "glora_B.Xd": g.b,
      "glora_B.Xu": g.bu,
      "glora_C.Xd": c.d,
      "glora_C.Xu": c.u,
      "glora_D.X": one,
      "glora_E.X": two,
    },
    weight: (w, i, j) => w + w * product(g.a, g.au, i, j) + product(g.b, g.bu, i, j),
    bias: (b, i) => b + b * at(one, 0) + at(two, 0) + dotRow(i, (k) => product(c.d, c.u, k, 0)),
  },
  {
    title: "GLoRA of vectors",
    config: { peft_type: "GLORA", config_A_B: "vector", config_C: "vector", config_D_E: "vector" },
    tensors: {
      "glora_A.X": vectorA,
      "glora_B.X": vectorB,
      "glora_C.X": vectorC,
      "glora_D.X": vectorD,
      "glora_E.X": vectorE,
    },
    weight: (w, i) => w + w * at(vectorA, i) + at(vectorB, i),
    bias: (b, i) => b + b * at(vectorD, i) + at(vectorE, i) + dotRow(i, (k) => at(vectorC, k)),
  },
  {
    title: "GLoRA of numbers, the bias untouched",
    config: { peft_type: "GLORA", config_A_B: "constant", config_C: "none", config_D_E: "none" },
    tensors: { "glora_A.X": one, "glora_B.X": two },
    weight: (w) => w + w * at(one, 0) + at(two, 0),
  },
  {
    title: "PEANuT with hidden layers",
    config: { peft_type: "PEANUT", r, depth: 1, act_fn: "gelu", scaling: 3 },
    tensors: {
      "peanut_A.weight": p.a,
      "peanut_encoders.0.weight": p.e,
      "peanut_decoders.0.weight": p.d,
      "peanut_B.weight": p.b,
    },
    weight: (w, i, j) => w + 3 * peanut(j).reduce((sum, h, k) => sum + at(p.b, i * r + k) * h, 0),
  },
  {
    title: "Super-Tuning of the smallest entries, positions not stored",
    config: {
      peft_type: "SUPERTUNING",
      sparsity: 0.78,
      select_top: false,
      save_precomputed_indices: false,
      r,
    },
    tensors: {
      supertuning_values: s.values,
      "supertuning_lora_A.weight": s.a,
      "supertuning_lora_B.weight": s.b,
    },
    weight: (w, i, j) => {
      const place = smallest.indexOf(i * inputs + j);
      return w + (place < 0 ? 0 : at(s.values, place)) + 2 * product(s.b, s.a, i, j);
    },
  },
  {
    title: "Uni-LoRA with stored positions",
    config: { peft_type: "UNILORA", r, theta_d_length: 6, save_indices: true },
    tensors: {
      unilora_indices_A: places(r, inputs),
      unilora_scales_A: u.a,
      unilora_indices_B: places(outputs, r),
      unilora_scales_B: u.b,
    },
    weight: (w, i, j) =>
      w +
      [0, 1].reduce((sum, k) => {
        const [left, right] = [i * r + k, k * inputs + j];
        const b = at(u.theta, left % 6) * at(u.b, left);
        return sum + b * at(u.theta, right % 6) * at(u.a, right);
      }, 0),
  },
  {
    title: "AdaMSS with a column for the bias",
    config: { peft_type: "ADAMSS", r: 3, num_subspaces: 1 },
    tensors: { adamss_newB: m.newB, "adamss_A.0": m.a, "adamss_B.0": m.b },
    weight: (w, i, j) => w + at(m.b, i) * product(m.a, m.newB, 0, j),
    bias: (b, i) => b + at(m.b, i) * product(m.a, m.newB, 0, inputs),
  },
];

for (const { title, config, tensors, weight: expectedWeight, bias: expectedBias } of cases) {
  void test(title, async (t) => {
    const folder = await temporaryFolder(t);
    const entries = Object.entries(tensors).map(
      ([suffix, tensor]) => [`base_model.model.${name}.${suffix}`, tensor] as const,
    );
    await writeSafetensors(
      path.join(folder, "adapter_model.safetensors"),
      [...entries, ["base_model.unilora_theta_d", u.theta] as const]
        .filter(([key]) => key.includes(name) || "theta_d_length" in config)
        .map(([key, { shape, data }]) => ({
          name: key,
          dtype: data instanceof Int32Array ? "I32" : "F32",
          shape,
          bytes: new Uint8Array(data.buffer),
        })),
    );
    const text = JSON.stringify({ ...config, target_modules: ["up_proj"] });
    await writeFile(path.join(folder, "adapter_config.json"), text);
    const adapter = await openAdapterCheckpoint(folder);
    const { effects } = await methodOf(adapter.config).load(adapter, base);
    const effect = effects.linear.get(name) ?? {};
    const merged = weight.map((w, i) => expectedWeight(w, Math.floor(i / inputs), i % inputs));
    assert(difference(mergedWeight(weight, effect, module), merged) < 1e-6);
    const mergedBiases = bias.map((b, i) => expectedBias?.(b, i) ?? b);
    assert(difference(mergedBias(bias, effect), mergedBiases) < 1e-6);
  });
}
