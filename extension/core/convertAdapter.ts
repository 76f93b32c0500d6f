/** An adapter turned into another form: one door for every conversion. */
import { realpath } from "node:fs/promises";
import { badRequest, unsupported } from "./base/errors.ts";
import { describeBase, type OnProgress } from "./baseModel.ts";
import { type AdapterCheckpoint, openAdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import { type BaseCheckpoint, openBaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import { findBaseFolder } from "./checkpoint/findBase.ts";
import type { ConvertedAdapter, ConvertedModule } from "./peft/convert/converted.ts";
import { intruderOptions, reduceIntruders } from "./peft/convert/intruders.ts";
import { resizeLora } from "./peft/convert/resize.ts";
import type { RankChoice } from "./peft/convert/size.ts";
import { toLora } from "./peft/convert/toLora.ts";
import { methodOf } from "./peft/index.ts";
import { checkReport } from "./bindReport.ts";
import { saveCombined } from "./savePretrained.ts";

/** What an adapter is turned into; the engine's contract says more on each. */
export type Conversion =
  | { readonly kind: "lora"; readonly size: RankChoice }
  | { readonly kind: "resize"; readonly size: RankChoice }
  | {
      readonly kind: "reduceIntruders";
      readonly topK?: number | undefined;
      readonly threshold?: number | undefined;
      readonly mitigation?: number | undefined;
    }
  | {
      readonly kind: "onnxAdapter";
      readonly dtype?: "fp32" | "fp16" | undefined;
      readonly names?: "olive" | "genai" | undefined;
    }
  | { readonly kind: "gguf"; readonly dtype?: "fp32" | "fp16" | "bf16" | undefined }
  | { readonly kind: "peft" };

export interface ConvertAdapterOptions {
  /** The adapter's folder, or for "peft" the file. */
  readonly path: string;
  /** The base's folder; where the adapter's config leads when absent. */
  readonly base?: string | undefined;
  readonly to: Conversion;
  /** The new adapter's own folder, or for "onnxAdapter" and "gguf" the file. */
  readonly target: string;
  /** Replace what is there already. */
  readonly overwrite?: boolean | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ConvertReport {
  /** Real path of the folder or file that was written. */
  readonly target: string;
  readonly files: readonly string[];
  readonly modules: readonly ConvertedModule[];
  readonly warnings: readonly string[];
}

/**
 * Converts an adapter and writes the result; what is given stays as it is. All files or none.
 * @throws unsupported saying what the target form cannot express; bad-request when it exists already
 */
export async function convertAdapter(options: ConvertAdapterOptions): Promise<ConvertReport> {
  const { to } = options;
  switch (to.kind) {
    case "lora":
      return convertToLora(options, to);
    case "resize":
      return changeLora(options, (checkpoint) => resizeLora(checkpoint, { ...options, ...to }));
    case "reduceIntruders":
      return changeLora(options, async (checkpoint) => {
        const base = describeBase(await openBase(checkpoint, options));
        return reduceIntruders({ checkpoint, base }, { ...options, ...intruderOptions(to) });
      });
    default:
      throw unsupported(`Graft does not convert to ${to.kind} yet`);
  }
}

async function convertToLora(
  options: ConvertAdapterOptions,
  { size }: Conversion & { kind: "lora" },
): Promise<ConvertReport> {
  const { onProgress, signal } = options;
  onProgress?.({ step: "Reading the adapter" });
  const checkpoint = await openAdapterCheckpoint(options.path, signal);
  const method = methodOf(checkpoint.config);
  const base = describeBase(await openBase(checkpoint, options));
  const report = method.bind(checkpoint, base);
  checkReport(checkpoint, report, { base, allowPartial: false });
  const { effects, warnings } = await method.load(checkpoint, base, signal);
  const source = { checkpoint, effects, bound: report.bound, base };
  const converted = await toLora(source, { size, onProgress, signal });
  return write(converted, checkpoint, { ...options, warnings });
}

async function changeLora(
  options: ConvertAdapterOptions,
  change: (checkpoint: AdapterCheckpoint) => Promise<ConvertedAdapter>,
): Promise<ConvertReport> {
  options.onProgress?.({ step: "Reading the adapter" });
  const checkpoint = await openAdapterCheckpoint(options.path, options.signal);
  return write(await change(checkpoint), checkpoint, { ...options, warnings: [] });
}

/** The base that is named, or the one that the adapter's config leads to. */
async function openBase(
  checkpoint: AdapterCheckpoint,
  { base, signal }: ConvertAdapterOptions,
): Promise<BaseCheckpoint> {
  const folder = base ?? (await findBaseFolder(checkpoint));
  if (folder !== null) return openBaseCheckpoint(folder, signal);
  const own = checkpoint.config.baseName ?? "which its config does not name";
  throw badRequest(`The conversion needs the adapter's base, ${own}. Name its folder.`);
}

async function write(
  { tensors, configText, modules, warnings }: ConvertedAdapter,
  first: AdapterCheckpoint,
  at: ConvertAdapterOptions & { warnings: readonly string[] },
): Promise<ConvertReport> {
  const { target, overwrite = false, onProgress, signal } = at;
  onProgress?.({ step: "Writing" });
  const made = { tensors, configText, warnings };
  const lora = { ...first, config: { ...first.config, peftType: "LORA" } };
  const files = await saveCombined(made, target, {
    first: lora,
    overwrite,
    ...(signal && { signal }),
  });
  return {
    target: await realpath(target),
    files,
    modules,
    warnings: [...at.warnings, ...warnings],
  };
}
