import * as path from "node:path";
import { z } from "zod";
import { type JsonObject, parseFields, readJsonObject } from "../base/json.ts";

/** A model's config.json: the fields every family has, and the raw object that families read. */
export interface ModelConfig {
  readonly file: string;
  readonly modelType: string;
  /** First entry of `architectures`, e.g. "LlamaForCausalLM"; "" when the file names none. */
  readonly architecture: string;
  readonly raw: JsonObject;
}

const common = z.looseObject({
  model_type: z.string(),
  architectures: z.array(z.string()).nullish(),
});

export async function readModelConfig(dir: string, signal?: AbortSignal): Promise<ModelConfig> {
  const file = path.join(dir, "config.json");
  const raw = await readJsonObject(file, signal);
  const fields = parseFields(common, raw, file);
  return {
    file,
    modelType: fields.model_type,
    architecture: fields.architectures?.[0] ?? "",
    raw,
  };
}
