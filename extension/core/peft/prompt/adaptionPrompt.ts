/**
 * Adaption prompt, the LLaMA-Adapter (https://arxiv.org/abs/2303.16199; PEFT tuners/adaption_prompt):
 * in the last layers the queries also attend to trained tokens p, with a softmax of their own:
 *
 *     y = W_o (mixed + gate · softmax(q (W_k p + b_k)ᵀ / √dim) (W_v p + b_v)) + b_o
 *
 * where the keys are not rotated. Keys and values do not depend on the prompt, so they are computed
 * once, the gate folded into the values. PEFT adds W_o's bias a second time; so does this.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { GraftError, unsupported } from "../../base/errors.ts";
import { multiply, transposed } from "../../base/matrix.ts";
import type { Shape } from "../../base/shape.ts";
import { containerPaths, layerIndex, weightName } from "../../checkpoint/modules.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import type { AdapterEffects, AttentionPrompt, LinearEffect } from "../effect.ts";
import type { MethodBase } from "../method.ts";
import type { ModuleTensors } from "../tuner/tensors.ts";
import { wholeNumber } from "../tuner/config.ts";
import { type PromptContext, promptMethod } from "./prompt.ts";

const schema = z.looseObject({
  adapter_len: wholeNumber,
  adapter_layers: wholeNumber,
  target_modules: z
    .string()
    .nullish()
    .transform((value) => value ?? "self_attn"),
});

export type AdaptionConfig = z.infer<typeof schema>;

/** Families whose attention PEFT knows how to extend, as far as Graft runs them. */
const families = ["llama", "mistral"];

export const adaptionPrompt = promptMethod<AdaptionConfig>({
  peftType: "ADAPTION_PROMPT",
  schema,
  fields: {
    adapter_len: { default: null, meaning: t("How many trained tokens each layer attends to.") },
    adapter_layers: { default: null, meaning: t("How many layers, counted from the last.") },
    target_modules: { default: null, meaning: t("Name of the attention blocks.") },
  },
  tensors: (context) => {
    const hidden = projection(context.base, `${adaptedBlocks(context)[0]}.k_proj`).in;
    const shapes: Record<string, Shape> = {};
    for (const path of adaptedBlocks(context)) {
      shapes[storedName(path, "prompt")] = [1, context.config.adapter_len, hidden];
      shapes[storedName(path, "gate")] = [1];
    }
    return shapes;
  },
  effects: async (context, tensors) => {
    const attention = new Map<string, AttentionPrompt>();
    const linear = new Map<string, LinearEffect>();
    for (const path of adaptedBlocks(context)) {
      attention.set(path, await attentionPrompt(path, context, tensors));
      const bias = await context.base.readTensor(`${path}.o_proj.bias`);
      if (bias) linear.set(`${path}.o_proj`, { shift: bias });
    }
    return { attention, linear } satisfies Partial<AdapterEffects>;
  },
});

/** Name of a block's tensor in the file. */
export function storedName(path: string, what: "prompt" | "gate"): string {
  return `base_model.model.${path}.adaption_${what}`;
}

/** Paths of the last attention blocks, in the model's order. */
export function adaptedBlocks({ config, file, base }: PromptContext<AdaptionConfig>): string[] {
  if (!families.includes(base.modelType)) {
    throw unsupported(
      t(
        "{0}: adaption prompts go with {1} bases, this one is {2}",
        file,
        families.join(t(" and ")),
        base.modelType,
      ),
    );
  }
  const found = [...containerPaths(base.tree)]
    .filter((path) => path.endsWith(`.${config.target_modules}`))
    .sort((a, b) => (layerIndex(`${a}.`) ?? 0) - (layerIndex(`${b}.`) ?? 0));
  if (config.adapter_layers > found.length) {
    throw new GraftError(
      "misfit",
      t(
        '{0}: field "adapter_layers" is {1}, this base has {2} blocks called {3}.',
        file,
        config.adapter_layers,
        found.length,
        config.target_modules,
      ),
      { file, field: "adapter_layers" },
    );
  }
  return found.slice(-config.adapter_layers);
}

async function attentionPrompt(
  path: string,
  { config, base }: PromptContext<AdaptionConfig>,
  tensors: ModuleTensors,
): Promise<AttentionPrompt> {
  const count = config.adapter_len;
  const tokens = tensors.values(storedName(path, "prompt"));
  const gate = tensors.values(storedName(path, "gate"))[0] as number;
  const keys = await project(tokens, { base, module: projection(base, `${path}.k_proj`), count });
  const values = await project(tokens, { base, module: projection(base, `${path}.v_proj`), count });
  return { count, keys, values: values.map((value) => value * gate) };
}

/** W p + b of every token, as [kv heads, count, dim]. */
async function project(
  tokens: Float32Array,
  { base, module, count }: { base: MethodBase; module: LinearModule; count: number },
): Promise<Float32Array> {
  const { keyValueHeads, headDim } = base.attention;
  const weight = (await base.readTensor(weightName(module))) as Float32Array;
  const bias = await base.readTensor(`${module.path}.bias`);
  const flat = multiply(tokens, transposed(weight, module.out, module.in), {
    rows: count,
    inner: module.in,
    columns: module.out,
  });
  const out = new Float32Array(keyValueHeads * count * headDim);
  flat.forEach((value, i) => {
    const [token, column] = [Math.floor(i / module.out), i % module.out];
    const [head, place] = [Math.floor(column / headDim), column % headDim];
    out[(head * count + token) * headDim + place] = value + (bias?.[column] ?? 0);
  });
  return out;
}

export function projection({ tree }: MethodBase, path: string): LinearModule {
  const found = tree.modules.find((module) => module.path === path);
  if (found?.kind === "linear") return found;
  throw unsupported(t("Adaption prompts need {0}, which this base has not", path));
}
