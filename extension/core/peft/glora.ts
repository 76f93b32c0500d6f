/**
 * GLoRA (https://arxiv.org/abs/2306.07967; PEFT tuners/glora):
 *
 *     W' = W + W ⊙ A + B        b' = b + b ⊙ D + E + W C    (b' only where the base has a bias)
 *
 * Each part is a product of two factors, a vector, one number or absent. Run time: A as a vector or
 * number scales the output, B as one is of rank 1, B as a product is low rank; W ⊙ (A's product)
 * is dense, since an elementwise product has no low rank.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { multiply } from "../base/matrix.ts";
import type { Shape } from "../base/shape.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { loraTargets } from "./defaultTargets.ts";
import type { LinearEffect, LowRank } from "./effect.ts";
import type { FieldInfo } from "./method.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

const weightForm = z.enum(["lora", "vector", "constant", "none"]);

const schema = z.looseObject({
  ...tunerFields,
  r: wholeNumber.default(8),
  bias: z
    .enum(["none", "all", "glora_only"], t("It must be none, all or glora_only."))
    .default("none"),
  config_A_B: weightForm.default("lora"),
  config_C: z.enum(["lora", "vector", "none"]).default("lora"),
  config_D_E: z.enum(["vector", "constant", "none"]).default("constant"),
});

export type GloraConfig = z.infer<typeof schema>;

const fields: Readonly<Record<string, FieldInfo>> = {
  r: { default: 8, meaning: t("Rank of the parts that are a product of two factors.") },
  bias: { default: "none", meaning: t("Which biases were trained and are stored.") },
  config_A_B: { default: "lora", meaning: t("Form of A and B, which scale and shift the weight.") },
  config_C: { default: "lora", meaning: t("Form of C, which adds W C to the bias.") },
  config_D_E: {
    default: "constant",
    meaning: t("Form of D and E, which scale and shift the bias."),
  },
  init_weights: { default: true, meaning: t("The update was zero before training.") },
};

const parts = ["A", "B", "C", "D", "E"] as const;

export const glora = tunerMethod<GloraConfig>({
  peftType: "GLORA",
  schema,
  fields,
  defaultTargets: loraTargets,
  suffixes: parts.flatMap((part) =>
    ["Xd", "Xu", "X", "zeros"].map((name) => `glora_${part}.${name}`),
  ),
  frozen: parts.map((part) => `glora_${part}.zeros`),
  kinds: ["linear"],
  rank: ({ r, config_A_B: ab, config_C: c }) => (ab === "lora" || c === "lora" ? r : null),
  shapes,
  linear: linearEffect,
});

/** In PEFT's order of parameters. */
export function shapes(module: ModuleInfo, config: GloraConfig): Record<string, Shape> {
  if (module.kind !== "linear") return {};
  const { r } = config;
  const { in: inputs, out } = module;
  const product = (part: string, rows: number, columns: number): Record<string, Shape> => ({
    [`glora_${part}.Xd`]: [rows, r],
    [`glora_${part}.Xu`]: [r, columns],
  });
  const found: Record<string, Shape> = {};
  for (const part of ["A", "B"]) {
    if (config.config_A_B === "lora") Object.assign(found, product(part, out, inputs));
    if (config.config_A_B === "vector") found[`glora_${part}.X`] = [out, 1];
    if (config.config_A_B === "constant") found[`glora_${part}.X`] = [1];
  }
  if (!module.hasBias) return found;
  if (config.config_C === "lora") Object.assign(found, product("C", inputs, 1));
  if (config.config_C === "vector") found["glora_C.X"] = [inputs, 1];
  for (const part of ["D", "E"]) {
    if (config.config_D_E === "vector") found[`glora_${part}.X`] = [out];
    if (config.config_D_E === "constant") found[`glora_${part}.X`] = [1];
  }
  return found;
}

async function linearEffect(
  module: LinearModule,
  tensors: ModuleTensors,
  context: TunerContext<GloraConfig>,
): Promise<LinearEffect> {
  const { config } = context;
  const onWeight: LinearEffect =
    config.config_A_B === "none"
      ? {}
      : config.config_A_B === "lora"
        ? await products(module, tensors, context)
        : {
            outputScale: vector(tensors, "A", module.out).map((value) => 1 + value),
            lowRank: everyColumn(vector(tensors, "B", module.out), module.in),
          };
  const bias = await context.bias(module);
  if (!bias) return onWeight;
  const added = await biasDelta(module, tensors, { context, bias });
  // The form scales the base's output with its bias; GLoRA's A leaves the bias alone.
  const { outputScale } = onWeight;
  const shift = added.map((value, i) => value - (bias[i] ?? 0) * ((outputScale?.[i] ?? 1) - 1));
  return { ...onWeight, shift };
}

/** W ⊙ (Xd Xu) and the low-rank B. */
async function products(
  module: LinearModule,
  tensors: ModuleTensors,
  context: TunerContext<GloraConfig>,
): Promise<LinearEffect> {
  const { r } = context.config;
  const size = { rows: module.out, inner: r, columns: module.in };
  const factor = multiply(tensors.values("glora_A.Xd"), tensors.values("glora_A.Xu"), size);
  const weight = await context.weight(module);
  return {
    delta: weight.map((value, i) => value * (factor[i] as number)),
    lowRank: { a: tensors.values("glora_B.Xu"), b: tensors.values("glora_B.Xd"), rank: r },
  };
}

/** b ⊙ D + E + W C [out]. */
async function biasDelta(
  module: LinearModule,
  tensors: ModuleTensors,
  { context, bias }: { context: TunerContext<GloraConfig>; bias: Float32Array },
): Promise<Float32Array> {
  const { config_C: form, config_D_E: biasForm, r } = context.config;
  const { in: inner, out } = module;
  const direct = (part: string): Float32Array =>
    biasForm === "none" ? new Float32Array(out) : vector(tensors, part, out);
  const [scale, offset] = [direct("D"), direct("E")];
  let coupled: Float64Array | null = null;
  if (form !== "none") {
    const c =
      form === "vector"
        ? tensors.values("glora_C.X")
        : multiply(tensors.values("glora_C.Xd"), tensors.values("glora_C.Xu"), {
            rows: inner,
            inner: r,
            columns: 1,
          });
    coupled = multiply(await context.weight(module), c, { rows: out, inner, columns: 1 });
  }
  return bias.map(
    (value, i) => value * (scale[i] as number) + (offset[i] as number) + (coupled?.[i] ?? 0),
  );
}

/** A part's vector [length]; one number stands for all. */
function vector(tensors: ModuleTensors, part: string, length: number): Float32Array {
  const own = tensors.values(`glora_${part}.X`);
  return own.length === 1 ? new Float32Array(length).fill(own[0] as number) : own;
}

/** A matrix whose columns are all `values` [out]. */
function everyColumn(values: Float32Array, inputs: number): LowRank {
  return { a: new Float32Array(inputs).fill(1), b: values, rank: 1 };
}
