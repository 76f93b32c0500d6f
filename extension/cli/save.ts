import { badRequest } from "../core/base/errors.ts";
import { loadBaseModel } from "../core/baseModel.ts";
import { PeftModel } from "../core/peftModel.ts";
import { baseOf, sayWarnings } from "./adapters.ts";
import { readArguments } from "./arguments.ts";

const options = {
  base: { type: "string" },
  adapter: { type: "string" },
  out: { type: "string" },
  overwrite: { type: "boolean", default: false },
  "allow-partial": { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

/** Writes an adapter as PEFT lays it out, once it is known to fit its base. */
export async function save(args: string[], signal: AbortSignal): Promise<void> {
  const { values } = readArguments(args, options);
  const { base: folder, adapter, out, overwrite } = values;
  if (adapter === undefined || out === undefined)
    throw badRequest("save needs --adapter and --out.");
  const base = folder ?? (await baseOf(adapter, "save"));
  const model = new PeftModel(await loadBaseModel(base, { signal }));
  const allowPartial = values["allow-partial"];
  const { name, warnings } = await model.loadAdapter(adapter, { allowPartial, signal });
  sayWarnings(adapter, warnings);
  const files = await model.saveAdapter(name, out, { overwrite, signal });
  process.stdout.write(`${values.json ? JSON.stringify({ files }, null, 2) : files.join("\n")}\n`);
}
