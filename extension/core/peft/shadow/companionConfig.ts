import { t } from "@vscode/l10n";
import * as path from "node:path";
import { notFound, unsupported } from "../../base/errors.ts";
import { isFile } from "../../base/files.ts";
import { isObject, type JsonObject } from "../../base/json.ts";
import { localCandidates } from "../../checkpoint/findBase.ts";
import { type ModelConfig, readModelConfig } from "../../checkpoint/modelConfig.ts";
import { findCachedRepo } from "../../hub/cache.ts";
import type { MethodBase } from "../method.ts";
import type { ShadowConfig } from "./shadowConfig.ts";

/** Families whose configs keep `head_dim` once it was derived from the base's sizes, or do not. */
const keepsHeadDim: Readonly<Record<string, boolean>> = {
  llama: true,
  mistral: true,
  qwen2: false,
  qwen3: true,
};

/**
 * The base's config with the sizes of a decoder that mirrors it (PEFT tuners/shadow/model.py,
 * _build_shadow_backbone): what the adapter does not name stays the base's, its head size too.
 */
export function mirrorConfig(
  config: ShadowConfig,
  { config: base, attention, modelType }: MethodBase,
  file: string,
): ModelConfig {
  const keeps = keepsHeadDim[modelType];
  if (keeps === undefined) {
    throw unsupported(
      t(
        "{0}: Graft mirrors {1} bases for Shadow, this one is {2}",
        file,
        Object.keys(keepsHeadDim).join(", "),
        modelType,
      ),
    );
  }
  const layers = config.shadow_num_hidden_layers ?? 1;
  const raw: JsonObject = {
    ...base.raw,
    num_key_value_heads: attention.keyValueHeads,
    ...(keeps && { head_dim: attention.headDim }),
    ...layerFields(base.raw, { from: attention.layers, to: layers }),
    num_hidden_layers: layers,
  };
  const sizes = {
    hidden_size: config.shadow_hidden_size,
    intermediate_size: config.shadow_intermediate_size,
    num_attention_heads: config.shadow_num_attention_heads,
  };
  for (const [field, value] of Object.entries(sizes)) if (value !== null) raw[field] = value;
  return { ...base, architecture: "", file, raw };
}

/** What a config says of each layer, cut or continued with the last layer's. */
function layerFields(raw: JsonObject, { from, to }: { from: number; to: number }): JsonObject {
  const types = raw["layer_types"];
  if (Array.isArray(types) && types.length > 0) {
    return {
      layer_types: Array.from({ length: to }, (_, i): unknown => types[i] ?? types.at(-1)),
    };
  }
  // Without types the windows begin at a layer: the last one says what the added ones have.
  const first = raw["max_window_layers"];
  return typeof first === "number" && first >= from
    ? { max_window_layers: Math.max(first, to) }
    : {};
}

/**
 * The config of the model that a companion was loaded from: its folder, or the Hub's cache. A
 * "projected" checkpoint holds the decoder's config inside its own.
 * @throws not-found when it is not on this machine
 */
export async function namedConfig(name: string, file: string): Promise<ModelConfig> {
  for (const folder of await candidates(name, path.dirname(file))) {
    if (!(await isFile(path.join(folder, "config.json")))) continue;
    const config = await readModelConfig(folder);
    const inner = config.raw["shadow_model_config"];
    if (!isObject(inner)) return { ...config, architecture: "" };
    const type = inner["model_type"];
    return { ...config, modelType: String(type), architecture: "", raw: inner };
  }
  throw notFound(
    t("Shadow model"),
    name,
    t(
      '{0}: field "shadow_model" names it, and its config.json says what the adapter\'s own decoder is. Download it, or give its path.',
      file,
    ),
  );
}

async function candidates(name: string, dir: string): Promise<string[]> {
  const cached = await findCachedRepo(name);
  return [...localCandidates(dir, name), ...(cached ? [cached] : [])];
}
