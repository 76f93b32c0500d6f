import { t } from "@vscode/l10n";
import { z } from "zod";
import { unsupported } from "../base/errors.ts";
import { parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { activationOf } from "./activations.ts";
import { buildDecoder } from "./blocks.ts";
import type { DecoderShape } from "./decoderShape.ts";
import type { Family } from "./family.ts";
import { type Defaults, llamaShape, mlpShape, withDefaults } from "./llama.ts";
import { gatedMlp } from "./mlp.ts";

/** What the configs of all Gemmas may leave out. */
export const gemmaDefaults: Defaults = {
  head_dim: 256,
  tie_word_embeddings: true,
  max_position_embeddings: 8192,
};

const fields = z.looseObject({
  hidden_act: z.string().nullish(),
  use_bidirectional_attention: z.boolean().nullish(),
});

/** Llama whose norms are stored around 0 and whose embeddings are scaled by √hidden. */
export function gemmaShape(config: ModelConfig): DecoderShape {
  const shape = llamaShape(config);
  const { use_bidirectional_attention: sees } = parseFields(fields, config.raw, config.file);
  if (sees) {
    throw unsupported(
      t(
        "{0}: use_bidirectional_attention lets tokens see those behind them, which Graft does not run",
        config.file,
      ),
    );
  }
  return {
    ...shape,
    norm: { ...shape.norm, offset: 1 },
    embeddingScale: Math.sqrt(shape.hiddenSize),
  };
}

function gemmaOne(config: ModelConfig): DecoderShape {
  const { hidden_act: named } = parseFields(fields, config.raw, config.file);
  // "gelu" is what the first configs say, and not what they mean (transformers' GemmaConfig).
  const name = named === "gelu" || !named ? "gelu_pytorch_tanh" : named;
  const activation = activationOf(name, config);
  return {
    ...gemmaShape(config),
    mlp: gatedMlp({ ...mlpShape(config), hasBias: false, activation }),
  };
}

export const gemma: Family = {
  modelType: "gemma",
  architectures: {
    GemmaForCausalLM: (m) =>
      buildDecoder(m, gemmaOne(withDefaults(m.checkpoint.config, gemmaDefaults))),
  },
};
