import { badRequest } from "../core/base/errors.ts";
import { loadBaseModel } from "../core/baseModel.ts";
import { PeftModel } from "../core/peftModel.ts";
import { mergeResult } from "../engine/mergeResult.ts";
import { baseOf, loadAdapters } from "./adapters.ts";
import { readArguments } from "./arguments.ts";

const options = {
  base: { type: "string" },
  adapter: { type: "string", multiple: true },
  out: { type: "string" },
  "allow-partial": { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

/** Writes a base with adapters merged in, into a folder that does not exist yet. */
export async function merge(args: string[], signal: AbortSignal): Promise<void> {
  const { values } = readArguments(args, options);
  const { base: folder, adapter: given = [], out } = values;
  if (out === undefined || given.length === 0) throw badRequest("merge needs --adapter and --out.");
  const base = folder ?? (await baseOf(given[0], "merge"));
  const model = new PeftModel(await loadBaseModel(base, { signal }));
  const allowPartial = values["allow-partial"];
  const adapters = await loadAdapters(model, given, { allowPartial, signal });
  const result = await mergeResult(await model.mergeAndUnload({ adapters, folder: out, signal }));
  if (values.json) {
    process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
    return;
  }
  const lines = [
    `${result.changedTensors} tensors changed, written to ${result.folder}`,
    `rounding swallowed ${percent(result.swallowed)} of the change`,
    ...result.worst.map(({ name, swallowed }) => `  ${name}  ${percent(swallowed)}`),
  ];
  if (result.untied) lines.push("the head is no longer tied to the embeddings");
  process.stdout.write(`${lines.join("\n")}\n`);
}

function percent(share: number): string {
  return `${(100 * share).toPrecision(2)} %`;
}
