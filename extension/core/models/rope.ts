import { t } from "@vscode/l10n";
import { z } from "zod";
import { badFile, unsupported } from "../base/errors.ts";
import { isObject, parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { type RopeContext, type RopeFields, ropeTypes } from "./ropeTypes.ts";

/** Angles that some of a model's layers turn their queries and keys by. */
export interface RotaryTable {
  /** Behind the graph's inputs `rope_cos` and `rope_sin`; "" for the only table. */
  readonly suffix: string;
  /** Numbers of each head that turn. */
  readonly size: number;
  /** Factor on cos and sin. */
  readonly attentionFactor: number;
  /**
   * Inverse frequencies [size / 2] for a sequence of so many tokens: the same array as long as they
   * stay the same.
   */
  frequencies(length: number): Float32Array;
  /** True where cached keys are made anew when the frequencies change, as transformers does for longrope. */
  readonly isRestarting: boolean;
}

export interface RotaryOptions {
  readonly headDim: number;
  /** Takes `partial_rotary_factor` into account; families that do not ignore it as transformers does. */
  readonly isPartial?: boolean;
  /** The table of this layer type, where config.json has one for each. */
  readonly layerType?: string;
  /** `rope_theta` where config.json has none. */
  readonly theta?: number;
  /** Tokens that the model was made for before its context was extended, where config.json has no such field. */
  readonly originalContext?: number;
  readonly suffix?: string;
}

const count = z.number().positive();
const factors = z.array(z.number().positive());

const ropeFields = z.looseObject({
  rope_theta: count.nullish(),
  rope_type: z.string().nullish(),
  type: z.string().nullish(),
  partial_rotary_factor: z.number().positive().max(1).nullish(),
  factor: count.nullish(),
  attention_factor: z.number().nonnegative().nullish(),
  low_freq_factor: count.nullish(),
  high_freq_factor: count.nullish(),
  original_max_position_embeddings: count.nullish(),
  beta_fast: z.number().nullish(),
  beta_slow: z.number().nullish(),
  mscale: z.number().nullish(),
  mscale_all_dim: z.number().nullish(),
  truncate: z.boolean().nullish(),
  short_factor: factors.nullish(),
  long_factor: factors.nullish(),
});

const outerFields = z.looseObject({
  rope_theta: count.nullish(),
  partial_rotary_factor: z.number().positive().max(1).nullish(),
  original_max_position_embeddings: count.nullish(),
  max_position_embeddings: count.default(2048),
});

/**
 * The rotary table of a config as transformers' modeling_rope_utils computes it. Reads
 * `rope_parameters` (transformers 5) or `rope_scaling` and `rope_theta` (transformers 4).
 * @throws unsupported for a rope type that Graft does not know; bad-file for fields that a type lacks
 */
export function rotaryTable(config: ModelConfig, options: RotaryOptions): RotaryTable {
  const { headDim, isPartial = false, suffix = "" } = options;
  const fields = readRope(config, options);
  const type = fields.rope_type ?? fields.type ?? "default";
  const make = ropeTypes[type];
  if (!make) {
    throw unsupported(
      t('{0}: rope type "{1}" is not one that Graft knows', config.file, type),
      t("It knows {0}.", Object.keys(ropeTypes).join(", ")),
    );
  }
  const share = type === "default" && !isPartial ? 1 : (fields.partial_rotary_factor ?? 1);
  if (share !== 1 && !isPartial && type !== "proportional") {
    throw unsupported(
      t(
        "{0}: the family {1} turns whole heads, partial_rotary_factor is {2}",
        config.file,
        config.modelType,
        share,
      ),
    );
  }
  const dim = type === "proportional" ? headDim : Math.trunc(headDim * share);
  const context: RopeContext = { fields, share, dim, headDim, file: config.file };
  const made = make(context);
  const size = 2 * made.frequencies(1).length;
  if (size > headDim || size === 0) {
    throw badFile(config.file, t("rotary embedding of {0} numbers in heads of {1}", size, headDim));
  }
  return { suffix, size, attentionFactor: 1, isRestarting: false, ...made };
}

/** Tokens that a model's positions reach: older configs state the length before it was stretched. */
export function contextLength(config: ModelConfig): number {
  const { max_position_embeddings: stated } = parseFields(outerFields, config.raw, config.file);
  const fields = readRope(config, {});
  const { factor, original_max_position_embeddings: original } = fields;
  const type = fields.rope_type ?? fields.type;
  if (factor === null || factor === undefined) return stated;
  if (type === "linear" || type === "dynamic") return Math.floor(stated * factor);
  return type === "yarn" ? Math.max(stated, Math.floor((original ?? stated) * factor)) : stated;
}

/** transformers' RotaryEmbeddingConfigMixin.standardize_rope_params. */
function readRope(
  { raw, file }: ModelConfig,
  { layerType, theta = 10_000, originalContext }: Partial<RotaryOptions>,
): RopeFields {
  const outer = parseFields(outerFields, raw, file);
  const given = [raw["rope_scaling"], raw["rope_parameters"]].find(
    (each) => isObject(each) && Object.keys(each).length > 0,
  );
  const all = isObject(given) ? given : {};
  const nested = layerType === undefined ? undefined : all[layerType];
  const own = parseFields(ropeFields, isObject(nested) ? nested : all, file);
  const length = outer.max_position_embeddings;
  const original = isObject(nested) ? null : outer.original_max_position_embeddings;
  return {
    ...own,
    rope_theta: own.rope_theta ?? outer.rope_theta ?? theta,
    partial_rotary_factor: own.partial_rotary_factor ?? outer.partial_rotary_factor,
    original_max_position_embeddings:
      original ?? originalContext ?? own.original_max_position_embeddings ?? length,
    max_position_embeddings: length,
  };
}
