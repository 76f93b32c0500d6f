import { t } from "@vscode/l10n";
import { z } from "zod";
import { badFile } from "../base/errors.ts";
import { parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import type { ExpertShape } from "./experts.ts";
import { mlpShape } from "./llama.ts";

const size = z.int().positive();

const fields = z.looseObject({
  num_local_experts: size.nullish(),
  num_experts: size.nullish(),
  num_experts_per_tok: size,
  moe_intermediate_size: size.nullish(),
  norm_topk_prob: z.boolean().default(false),
});

/** The experts that a config describes; families write their number under one of two names. */
export function expertShape(config: ModelConfig): ExpertShape {
  const c = parseFields(fields, config.raw, config.file);
  const { hidden, inner, activation } = mlpShape(config);
  const count = c.num_local_experts ?? c.num_experts;
  if (!count || c.num_experts_per_tok > count) {
    throw badFile(
      config.file,
      t(
        'field "num_experts_per_tok" is {0}, there are {1} experts',
        c.num_experts_per_tok,
        count ?? 0,
      ),
    );
  }
  return {
    hidden,
    inner: c.moe_intermediate_size ?? inner,
    count,
    perToken: c.num_experts_per_tok,
    isNormalised: c.norm_topk_prob,
    activation,
  };
}

const sparseFields = z.looseObject({
  mlp_only_layers: z
    .array(z.int())
    .nullish()
    .transform((value) => value ?? []),
  decoder_sparse_step: size.default(1),
});

/** Which layers have experts: every `decoder_sparse_step`-th but those of `mlp_only_layers` (Qwen). */
export function hasExperts(config: ModelConfig): (layer: number) => boolean {
  const c = parseFields(sparseFields, config.raw, config.file);
  return (layer) => !c.mlp_only_layers.includes(layer) && (layer + 1) % c.decoder_sparse_step === 0;
}
