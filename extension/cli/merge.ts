import { badRequest } from "../core/base/errors.ts";
import { loadBaseModel } from "../core/baseModel.ts";
import { PeftModel } from "../core/peftModel.ts";
import { mergeResult, previewResult } from "../engine/mergeResult.ts";
import { baseOf, loadAdapters } from "./adapters.ts";
import { showTransfers } from "./progress.ts";
import { readArguments } from "./arguments.ts";

const options = {
  base: { type: "string" },
  adapter: { type: "string", multiple: true },
  out: { type: "string" },
  "allow-partial": { type: "boolean", default: false },
  "allow-lossy": { type: "boolean", default: false },
  preview: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

type MergeResult = Awaited<ReturnType<typeof mergeResult>>;
type MergePreviewResult = ReturnType<typeof previewResult>;

/**
 * Writes a base with adapters merged in, into a folder that does not exist yet; with --preview it only
 * says what rounding would take.
 */
export async function merge(args: string[], signal: AbortSignal): Promise<void> {
  const { values } = readArguments(args, options);
  const { base: folder, adapter: given = [], out } = values;
  if (given.length === 0 || (out === undefined) !== values.preview) {
    throw badRequest("merge needs --adapter, and either --out or --preview.");
  }
  const base = folder ?? (await baseOf(given[0], "merge"));
  const model = new PeftModel(await loadBaseModel(base, { onProgress: showTransfers(), signal }));
  const allowPartial = values["allow-partial"];
  const adapters = await loadAdapters(model, given, { allowPartial, signal });
  const result =
    out === undefined
      ? previewResult(await model.previewMerge({ adapters, signal }))
      : await write(model, { adapters, folder: out, allowLossy: values["allow-lossy"], signal });
  await model.dispose();
  const text = values.json ? JSON.stringify(result, null, 2) : linesOf(result).join("\n");
  process.stdout.write(`${text}\n`);
}

async function write(
  model: PeftModel,
  options: Parameters<PeftModel["mergeAndUnload"]>[0],
): Promise<MergeResult> {
  return mergeResult(await model.mergeAndUnload(options));
}

function linesOf(result: MergeResult | MergePreviewResult): string[] {
  const { changedTensors, swallowed, worst } = result;
  const share = percent(swallowed);
  const lost = worst.map((tensor) => `  ${tensor.name}  ${percent(tensor.swallowed)}`);
  if (!("folder" in result)) {
    const verdict = result.lossy ? "too much: merging needs --allow-lossy" : "merging loses little";
    return [
      `${changedTensors} tensors would change`,
      `rounding would swallow ${share} of the change (${verdict})`,
      ...lost,
    ];
  }
  return [
    `${changedTensors} tensors changed, written to ${result.folder}`,
    `rounding swallowed ${share} of the change`,
    ...lost,
    ...(result.untied ? ["the head is no longer tied to the embeddings"] : []),
  ];
}

function percent(share: number): string {
  return `${(100 * share).toPrecision(2)} %`;
}
