/**
 * Prefix tuning (https://arxiv.org/abs/2101.00190; PEFT tuners/prefix_tuning) and Cartridge
 * (https://arxiv.org/abs/2506.06266; PEFT tuners/cartridge): keys and values of every layer that
 * stand in the cache before the prompt. Keys are stored as attention reads them: no rotation is
 * added, and the first real token stands at position num_virtual_tokens.
 *
 * Stored: prompt_embeddings viewed as [virtual tokens, 2 · layers, kv heads, dim], of each layer the
 * keys first.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { GraftError, misfit, unsupported } from "../../base/errors.ts";
import type { Shape } from "../../base/shape.ts";
import type { AdapterEffects } from "../effect.ts";
import type { ModuleTensors } from "../tuner/tensors.ts";
import {
  checkSize,
  encoderLayers,
  promptFieldInfo,
  promptFields,
  type PromptConfig,
  submodules,
} from "./config.ts";
import { type PromptContext, promptMethod } from "./prompt.ts";
import { storedPrompt } from "./virtualTokens.ts";

const prefixSchema = z.looseObject({
  ...promptFields,
  prefix_projection: z.boolean().default(false),
  encoder_hidden_size: z.int().positive().nullish(),
  init_weights: z.literal("zero").nullish(),
});

export type PrefixConfig = z.infer<typeof prefixSchema>;

export const prefixTuning = promptMethod<PrefixConfig>({
  peftType: "PREFIX_TUNING",
  schema: prefixSchema,
  fields: {
    ...promptFieldInfo,
    init_weights: { default: null, meaning: t("zero began the training with an empty prefix.") },
    encoder_hidden_size: { default: null, meaning: t("Width of the encoder, in training.") },
    prefix_projection: { default: false, meaning: t("An encoder made the prefix, in training.") },
  },
  tensors: prefixShape,
  effects: prefix,
  counts: (context, stored) => ({ trained: trainedPrefix(context, stored) }),
});

/** With a projection an embedding and two linear layers were trained; what they made is stored. */
function trainedPrefix({ config, base }: PromptContext<PrefixConfig>, stored: number): number {
  const { encoder_hidden_size: hidden, num_virtual_tokens: count } = config;
  if (!config.prefix_projection || !hidden) return stored;
  const { keyValueHeads, headDim } = base.attention;
  const layers = prefixLayers({ config, base });
  const width = keyValueHeads * headDim;
  return count * width + (width + 1) * hidden + (hidden + 1) * 2 * layers * width;
}

const cartridgeSchema = z.looseObject({
  ...promptFields,
  num_frozen_tokens: z.int().nonnegative(t("It must be at least 0.")).default(1),
});

export type CartridgeConfig = z.infer<typeof cartridgeSchema>;

export const cartridge = promptMethod<CartridgeConfig>({
  peftType: "CARTRIDGE",
  schema: cartridgeSchema,
  fields: {
    ...promptFieldInfo,
    num_frozen_tokens: { default: 1, meaning: t("How many of the first tokens were not trained.") },
  },
  check: (config, { file }) => {
    const { num_frozen_tokens: frozen, num_virtual_tokens: count } = config;
    if (frozen <= count) return;
    const problem = t("is {0}, more than num_virtual_tokens {1}", frozen, count);
    throw new GraftError("bad-file", t('{0}: field "num_frozen_tokens" {1}.', file, problem), {
      file,
    });
  },
  tensors: prefixShape,
  effects: prefix,
  counts: ({ config }, stored) => {
    const trained = stored - (stored / config.num_virtual_tokens) * config.num_frozen_tokens;
    return { trained, trainable: trained, alwaysTrainable: 0 };
  },
});

function prefixShape<C extends PromptConfig>({
  config,
  file,
  base,
}: PromptContext<C>): Record<string, Shape> {
  requireStacks({ config, base, file });
  const { keyValueHeads, headDim } = base.attention;
  const layers = prefixLayers({ config, base });
  checkSize("num_attention_heads", { config, own: keyValueHeads, file });
  const width = keyValueHeads * headDim;
  if (config.token_dim !== null && config.token_dim !== width) {
    throw misfit(
      t(
        '{0}: field "token_dim" is {1}, this base\'s keys have {2} numbers.',
        file,
        config.token_dim,
        width,
      ),
      { file, field: "token_dim" },
    );
  }
  return { [storedPrompt]: [config.num_virtual_tokens, 2 * layers * width] };
}

/** How many layers a prefix has keys and values for: PEFT counts those of an encoder, where there is one. */
export function prefixLayers({
  config,
  base,
}: Pick<PromptContext<PromptConfig>, "config" | "base">): number {
  if (!base.hasEncoder) return base.attention.layers;
  return config.num_layers ?? encoderLayers(base);
}

/** Of a base with encoder and decoder PEFT has a prefix for both, and for no fewer layers than the decoder has. */
function requireStacks(context: PromptContext<PromptConfig>): void {
  const { config, base, file } = context;
  const count = submodules(config, context);
  if (!base.hasEncoder)
    return checkSize("num_layers", { config, own: base.attention.layers, file });
  if (count === 2 && prefixLayers(context) >= base.attention.layers) return;
  throw unsupported(
    t(
      "{0}: a prefix before answers needs num_transformer_submodules 2 and num_layers of at least {1}",
      file,
      base.attention.layers,
    ),
    t("Take prompt tuning or P-tuning instead."),
  );
}

/**
 * Which part of a prefix a layer's keys are, its values being the next. Behind an encoder PEFT has the parts twice,
 * one after the other, and gives each layer four of them, of which the first two count (PeftModel.get_prompt).
 */
export function keysOf(
  layer: number,
  context: Pick<PromptContext<PromptConfig>, "config" | "base">,
): number {
  return context.base.hasEncoder ? (4 * layer) % (2 * prefixLayers(context)) : 2 * layer;
}

function prefix<C extends PromptConfig>(
  { config, base }: PromptContext<C>,
  tensors: ModuleTensors,
): Promise<Partial<AdapterEffects>> {
  const { layers, keyValueHeads, headDim } = base.attention;
  const parts = 2 * prefixLayers({ config, base });
  const count = config.num_virtual_tokens;
  const stored = tensors.values(storedPrompt);
  const width = keyValueHeads * headDim;
  // [token, part, head, dim] → [head, token, dim]
  const part = (index: number): Float32Array => {
    const out = new Float32Array(count * width);
    for (let token = 0; token < count; token++) {
      for (let head = 0; head < keyValueHeads; head++) {
        const from = (token * parts + index) * width + head * headDim;
        out.set(stored.subarray(from, from + headDim), (head * count + token) * headDim);
      }
    }
    return out;
  };
  const numbers = Array.from({ length: layers }, (_, layer) => layer);
  const keys = numbers.map((layer) => part(keysOf(layer, { config, base })));
  const values = numbers.map((layer) => part(keysOf(layer, { config, base }) + 1));
  return Promise.resolve({ cachePrefix: { count, keys, values } });
}
