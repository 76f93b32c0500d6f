import { badRequest } from "../core/base/errors.ts";
import { loadBaseModel } from "../core/baseModel.ts";
import { PeftModel } from "../core/peftModel.ts";
import type { SaveOptions } from "../core/savePretrained.ts";
import { savePlainLora } from "../core/savePlainLora.ts";
import { baseOf, sayWarnings } from "./adapters.ts";
import { showTransfers } from "./progress.ts";
import { readArguments } from "./arguments.ts";

const options = {
  base: { type: "string" },
  adapter: { type: "string" },
  out: { type: "string" },
  bin: { type: "boolean", default: false },
  "convert-from": { type: "string" },
  "embedding-layers": { type: "string" },
  overwrite: { type: "boolean", default: false },
  "allow-partial": { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

/** Writes an adapter as PEFT lays it out, once it is known to fit its base. */
export async function save(args: string[], signal: AbortSignal): Promise<void> {
  const { values } = readArguments(args, options);
  const { adapter, out, overwrite, "convert-from": initial } = values;
  if (adapter === undefined || out === undefined)
    throw badRequest("save needs --adapter and --out.");
  const wishes: SaveOptions = {
    safeSerialization: !values.bin,
    saveEmbeddingLayers: readLayers(values["embedding-layers"]),
    ...{ overwrite, signal },
  };
  const base = values.base ?? (await baseOf(adapter, "save"));
  const allowPartial = values["allow-partial"];
  const saved =
    initial === undefined
      ? await saveLoaded(adapter, out, { ...wishes, base, allowPartial })
      : await savePlainLora(adapter, out, { ...wishes, base, initial, allowPartial });
  sayWarnings(adapter, saved.warnings);
  const { files } = saved;
  process.stdout.write(`${values.json ? JSON.stringify({ files }, null, 2) : files.join("\n")}\n`);
}

async function saveLoaded(
  adapter: string,
  out: string,
  { base, allowPartial, ...wishes }: SaveOptions & { base: string; allowPartial: boolean },
): Promise<{ files: string[]; warnings: string[] }> {
  const { signal } = wishes;
  const model = new PeftModel(await loadBaseModel(base, { onProgress: showTransfers(), signal }));
  const { name, warnings } = await model.loadAdapter(adapter, { allowPartial, signal });
  const told = [...warnings];
  const onWarning = (warning: string): void => void told.push(warning);
  const files = await model.saveAdapter(name, out, { ...wishes, onWarning });
  return { files, warnings: told };
}

/** PEFT's save_embedding_layers; as the adapter came when absent. */
function readLayers(text: string | undefined): boolean | "auto" | undefined {
  switch (text) {
    case undefined:
    case "auto":
      return text;
    case "true":
    case "false":
      return text === "true";
    default:
      throw badRequest(`--embedding-layers is "${text}"; it can be auto, true or false.`);
  }
}
