/**
 * The kinds of rotary embedding that transformers' modeling_rope_utils.py computes, in fp32 steps
 * where it takes them.
 */
import { t } from "@vscode/l10n";
import { badFile } from "../base/errors.ts";

/** Fields of config.json that a kind may read. */
export interface RopeFields {
  readonly rope_theta: number;
  readonly rope_type?: string | null | undefined;
  readonly type?: string | null | undefined;
  readonly partial_rotary_factor?: number | null | undefined;
  readonly factor?: number | null | undefined;
  readonly attention_factor?: number | null | undefined;
  readonly low_freq_factor?: number | null | undefined;
  readonly high_freq_factor?: number | null | undefined;
  readonly beta_fast?: number | null | undefined;
  readonly beta_slow?: number | null | undefined;
  readonly mscale?: number | null | undefined;
  readonly mscale_all_dim?: number | null | undefined;
  readonly truncate?: boolean | null | undefined;
  readonly short_factor?: readonly number[] | null | undefined;
  readonly long_factor?: readonly number[] | null | undefined;
  readonly original_max_position_embeddings: number;
  readonly max_position_embeddings: number;
}

export interface RopeContext {
  readonly fields: RopeFields;
  /** Share of each head that turns. */
  readonly share: number;
  /** Numbers of each head that turn. */
  readonly dim: number;
  readonly headDim: number;
  readonly file: string;
}

interface Rope {
  frequencies(length: number): Float32Array;
  readonly attentionFactor?: number;
  readonly isRestarting?: boolean;
}

export const ropeTypes: Readonly<Record<string, (context: RopeContext) => Rope>> = {
  default: ({ fields, dim }) => always(plain(fields.rope_theta, dim)),
  linear: ({ fields, dim, file }) => {
    const factor = need(fields, "factor", file);
    return always(plain(fields.rope_theta, dim).map((frequency) => frequency / factor));
  },
  proportional,
  dynamic,
  yarn,
  longrope,
  llama3,
};

function always(frequencies: Float32Array): Rope {
  return { frequencies: () => frequencies };
}

/** θ^(-2i / dim); with `divisor` for rows of which only the first `dim` numbers turn. */
function plain(theta: number, dim: number, divisor = dim): Float32Array {
  return powers(theta, dim, divisor).map((power) => 1 / power);
}

function powers(theta: number, dim: number, divisor = dim): Float32Array {
  return Float32Array.from(
    { length: Math.ceil(dim / 2) },
    (_, i) => theta ** Math.fround((2 * i) / divisor),
  );
}

/** Whole heads turn, the pairs beyond the share by nothing (Gemma 4). */
function proportional({ fields, share, headDim }: RopeContext): Rope {
  const angles = Math.floor(Math.floor(share * headDim) / 2);
  const out = new Float32Array(headDim / 2);
  const turned = plain(fields.rope_theta, 2 * angles, headDim);
  out.set(turned.map((frequency) => frequency / (fields.factor ?? 1)));
  return always(out);
}

/** NTK scaling by the length of the sequence, once it is longer than the model's context. */
function dynamic({ fields, dim, file }: RopeContext): Rope {
  const factor = need(fields, "factor", file);
  const { rope_theta: theta, max_position_embeddings: context } = fields;
  const short = plain(theta, dim);
  let last = { length: context, frequencies: short };
  return {
    frequencies: (length) => {
      if (length <= context) return short;
      if (length === last.length) return last.frequencies;
      const f = Math.fround;
      const stretched = f(f(f(factor * length) / context) - (factor - 1));
      const base = f(theta * f(stretched ** (dim / (dim - 2))));
      last = { length, frequencies: plain(base, dim) };
      return last.frequencies;
    },
  };
}

/** https://arxiv.org/abs/2309.00071 */
function yarn({ fields, dim, file }: RopeContext): Rope {
  const { rope_theta: theta, original_max_position_embeddings: original } = fields;
  const factor = fields.factor ?? fields.max_position_embeddings / original;
  if (fields.factor === undefined) need(fields, "factor", file);
  const dimensionOf = (rotations: number): number =>
    (dim * Math.log(original / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
  const [low, high] = [dimensionOf(fields.beta_fast || 32), dimensionOf(fields.beta_slow || 1)];
  const isWhole = fields.truncate ?? true;
  const first = Math.max(isWhole ? Math.floor(low) : low, 0);
  const last = Math.min(isWhole ? Math.ceil(high) : high, dim - 1);
  const width = first === last ? 0.001 : last - first;
  const frequencies = powers(theta, dim).map((power, i) => {
    const kept = Math.fround(1 - Math.min(Math.max(Math.fround((i - first) / width), 0), 1));
    const interpolated = Math.fround(1 / Math.fround(factor * power));
    const extrapolated = Math.fround(1 / power);
    return Math.fround(interpolated * Math.fround(1 - kept)) + Math.fround(extrapolated * kept);
  });
  return { ...always(frequencies), attentionFactor: yarnAttention(fields, factor) };
}

function yarnAttention(fields: RopeFields, factor: number): number {
  const { attention_factor: given, mscale, mscale_all_dim: all } = fields;
  const scaleOf = (own: number): number => (factor <= 1 ? 1 : 0.1 * own * Math.log(factor) + 1);
  if (given !== null && given !== undefined) return given;
  return mscale && all ? scaleOf(mscale) / scaleOf(all) : scaleOf(1);
}

/** https://github.com/microsoft/LongRoPE: other factors once the sequence is longer than before. */
function longrope({ fields, dim, file }: RopeContext): Rope {
  const { max_position_embeddings: context, original_max_position_embeddings: original } = fields;
  const factor = fields.factor ?? context / original;
  const scaled = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
  const divided = (name: "short_factor" | "long_factor"): Float32Array => {
    const factors = fields[name];
    const bases = powers(fields.rope_theta, dim);
    if (factors?.length !== bases.length) {
      throw badFile(
        file,
        t(
          'rope scaling needs the field "{0}" with {1} numbers, not {2}',
          name,
          bases.length,
          factors?.length ?? 0,
        ),
      );
    }
    return bases.map((power, i) => 1 / Math.fround(Math.fround(factors[i] as number) * power));
  };
  const [short, long] = [divided("short_factor"), divided("long_factor")];
  return {
    frequencies: (length) => (length > original ? long : short),
    attentionFactor: fields.attention_factor ?? scaled,
    isRestarting: true,
  };
}

/** Llama 3.1: long waves are stretched, short ones kept, a ramp between. */
function llama3({ fields, dim, file }: RopeContext): Rope {
  const factor = need(fields, "factor", file);
  const low = need(fields, "low_freq_factor", file);
  const high = need(fields, "high_freq_factor", file);
  const context = fields.original_max_position_embeddings;
  const frequencies = plain(fields.rope_theta, dim).map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength < context / high) return frequency;
    if (wavelength > context / low) return frequency / factor;
    const smooth = (context / wavelength - low) / (high - low);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
  return always(frequencies);
}

function need(fields: RopeFields, name: keyof RopeFields & string, file: string): number {
  const value = fields[name];
  if (typeof value !== "number") throw badFile(file, t('rope scaling needs the field "{0}"', name));
  return value;
}
