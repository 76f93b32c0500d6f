import { t } from "@vscode/l10n";
import { unsupported } from "../base/errors.ts";
import { isObject } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { buildDecoder } from "./blocks.ts";
import type { DecoderShape } from "./decoderShape.ts";
import type { Family } from "./family.ts";
import { llamaShape, mlpShape, withDefaults } from "./llama.ts";
import { oneWindow } from "./mistral.ts";
import { fusedMlp } from "./mlp.ts";
import { rotaryTable, type RotaryTable } from "./rope.ts";

/** Llama with fused layers, which turns a part of each head by longrope's angles (Phi-3, 3.5, 4-mini). */
function phi3Shape(own: ModelConfig): DecoderShape {
  const config = withDefaults(own, { rms_norm_eps: 1e-5, max_position_embeddings: 4096 });
  const { rope_parameters: _, rope_scaling: __, ...raw } = config.raw;
  const shape = llamaShape({ ...config, raw });
  const rotary = phi3Rotary(config, shape.headDim);
  return {
    ...shape,
    isFused: true,
    queryBias: false,
    outputBias: false,
    rotary: shape.rotary.map(() => rotary),
    windows: oneWindow(config, shape.layers),
    mlp: fusedMlp({ ...mlpShape(config), hasBias: false }),
  };
}

/** The family's rotary table. */
export function phi3Rotary(config: ModelConfig, headDim: number): RotaryTable {
  return rotaryTable(longropeConfig(config), {
    headDim,
    isPartial: true,
    originalContext: 4096,
  });
}

/** Older configs say "su" or "yarn" where they mean longrope (transformers' Phi3Config). */
function longropeConfig(config: ModelConfig): ModelConfig {
  const { rope_scaling: old, ...raw } = config.raw;
  const given = [old, raw["rope_parameters"]].find(
    (each) => isObject(each) && Object.keys(each).length > 0,
  );
  if (!isObject(given)) return { ...config, raw };
  const type = given["rope_type"] ?? given["type"] ?? "default";
  const known = ["default", "longrope", "su", "yarn"];
  if (!known.includes(String(type))) {
    throw unsupported(
      t('{0}: rope type "{1}" is not one that the family phi3 has', config.file, String(type)),
      t("It has {0}.", known.join(", ")),
    );
  }
  const rope = { ...given, rope_type: type === "default" ? type : "longrope" };
  return { ...config, raw: { ...raw, rope_parameters: rope } };
}

export const phi3: Family = {
  modelType: "phi3",
  architectures: {
    Phi3ForCausalLM: (m) => buildDecoder(m, phi3Shape(m.checkpoint.config)),
  },
};
