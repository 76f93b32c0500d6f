import { z } from "zod";
import { badFile, unsupported } from "../base/errors.ts";
import { isObject, parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";

const ropeFields = z.looseObject({
  rope_theta: z.number().positive().nullish(),
  rope_type: z.string().nullish(),
  type: z.string().nullish(),
  factor: z.number().positive().nullish(),
  low_freq_factor: z.number().positive().nullish(),
  high_freq_factor: z.number().positive().nullish(),
  original_max_position_embeddings: z.number().positive().nullish(),
});

type RopeFields = z.infer<typeof ropeFields>;

/**
 * Inverse frequencies [dim / 2] of the rotary embedding, in fp32 steps as transformers'
 * modeling_rope_utils computes them. Reads `rope_parameters` (transformers 5) or `rope_theta` and
 * `rope_scaling` (transformers 4).
 */
export function inverseFrequencies(config: ModelConfig, dim: number): Float32Array {
  const fields = readRope(config);
  const plain = plainFrequencies(fields.rope_theta ?? 10_000, dim);
  const type = fields.rope_type ?? fields.type ?? "default";
  const scale = scalings[type];
  if (!scale) {
    throw unsupported(
      `${config.file}: rope type "${type}" is not one that Graft knows`,
      `It knows ${Object.keys(scalings).join(", ")}.`,
    );
  }
  return scale(plain, fields, config.file);
}

function readRope({ raw, file }: ModelConfig): RopeFields {
  const old = isObject(raw["rope_scaling"]) ? raw["rope_scaling"] : {};
  const current = isObject(raw["rope_parameters"]) ? raw["rope_parameters"] : {};
  return parseFields(ropeFields, { rope_theta: raw["rope_theta"], ...old, ...current }, file);
}

function plainFrequencies(theta: number, dim: number): Float32Array {
  return Float32Array.from({ length: dim / 2 }, (_, i) =>
    Math.fround(1 / Math.fround(theta ** Math.fround((2 * i) / dim))),
  );
}

type Scaling = (frequencies: Float32Array, fields: RopeFields, file: string) => Float32Array;

const scalings: Record<string, Scaling> = {
  default: (frequencies) => frequencies,
  linear: (frequencies, fields, file) => {
    const factor = need(fields, "factor", file);
    return frequencies.map((frequency) => frequency / factor);
  },
  /** Llama 3.1: long waves are stretched, short ones kept, a ramp between. */
  llama3: (frequencies, fields, file) => {
    const factor = need(fields, "factor", file);
    const low = need(fields, "low_freq_factor", file);
    const high = need(fields, "high_freq_factor", file);
    const context = need(fields, "original_max_position_embeddings", file);
    return frequencies.map((frequency) => {
      const wavelength = (2 * Math.PI) / frequency;
      if (wavelength < context / high) return frequency;
      if (wavelength > context / low) return frequency / factor;
      const smooth = (context / wavelength - low) / (high - low);
      return ((1 - smooth) * frequency) / factor + smooth * frequency;
    });
  },
};

function need(fields: RopeFields, name: keyof RopeFields & string, file: string): number {
  const value = fields[name];
  if (typeof value !== "number") throw badFile(file, `rope scaling needs the field "${name}"`);
  return value;
}
