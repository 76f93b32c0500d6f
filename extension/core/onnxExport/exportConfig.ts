import * as path from "node:path";
import { isFile } from "../base/files.ts";
import { isObject, type JsonObject, readJsonObject } from "../base/json.ts";
import { type ModelConfig, readModelConfig } from "../checkpoint/modelConfig.ts";
import type { LinearSite } from "./linearSites.ts";

const genaiName = "genai_config.json";

/** genai_config.json of an export that ONNX Runtime GenAI's builder or Olive made; null without. */
export async function readGenaiConfig(
  dir: string,
  signal?: AbortSignal,
): Promise<JsonObject | null> {
  const file = path.join(dir, genaiName);
  return (await isFile(file)) ? readJsonObject(file, signal) : null;
}

/**
 * config.json of an export. Where there is only genai_config.json, what that says, in the spelling of
 * config.json; the size of the MLP then follows from the graph.
 */
export async function readExportConfig(
  dir: string,
  { genai, sites }: { genai: JsonObject | null; sites: readonly LinearSite[] },
  signal?: AbortSignal,
): Promise<ModelConfig> {
  if (genai === null || (await isFile(path.join(dir, "config.json")))) {
    return readModelConfig(dir, signal);
  }
  const model = isObject(genai["model"]) ? genai["model"] : {};
  const decoder = isObject(model["decoder"]) ? model["decoder"] : {};
  const type = typeof model["type"] === "string" ? model["type"] : "";
  const up = sites.find(({ node }) => /\/(up_proj|gate_proj|fc1)\//.test(node.name));
  const raw: JsonObject = {
    model_type: type,
    eos_token_id: model["eos_token_id"],
    bos_token_id: model["bos_token_id"],
    vocab_size: model["vocab_size"],
    max_position_embeddings: model["context_length"],
    hidden_size: decoder["hidden_size"],
    head_dim: decoder["head_size"],
    num_attention_heads: decoder["num_attention_heads"],
    num_hidden_layers: decoder["num_hidden_layers"],
    num_key_value_heads: decoder["num_key_value_heads"],
    intermediate_size: up?.out,
  };
  return { file: path.join(dir, genaiName), modelType: type, architecture: "", raw };
}

/** The first of some fields that is a whole number. */
export function sizeIn(raw: JsonObject, names: readonly string[]): number | null {
  for (const name of names) {
    const value = raw[name];
    if (typeof value === "number" && Number.isInteger(value) && value > 0) return value;
  }
  return null;
}
