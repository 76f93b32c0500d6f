/** An adapter turned into another form: one door for every conversion. */
import { t } from "@vscode/l10n";
import { realpath, stat } from "node:fs/promises";
import * as path from "node:path";
import { writeFolder } from "./adapterFolder.ts";
import { badRequest } from "./base/errors.ts";
import { isFile } from "./base/files.ts";
import type { JsonObject } from "./base/json.ts";
import { describeBase } from "./baseModel.ts";
import type { OnProgress } from "./base/progress.ts";
import { type AdapterCheckpoint, openAdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import { adapterConfigName, adapterConfigOf } from "./checkpoint/adapterConfig.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import { openModel } from "./precision.ts";
import { findBaseFolder } from "./checkpoint/findBase.ts";
import { openGguf } from "./gguf/read.ts";
import { writeGguf } from "./gguf/write.ts";
import { repoIdOf } from "./hub/cache.ts";
import { readOrtAdapter } from "./ortAdapter/read.ts";
import { writeOrtAdapter } from "./ortAdapter/write.ts";
import type { ConvertedAdapter, ConvertedModule } from "./peft/convert/converted.ts";
import { fromGguf, toGguf } from "./peft/convert/gguf.ts";
import { importedAdapter } from "./peft/convert/imported.ts";
import { intruderOptions, reduceIntruders } from "./peft/convert/intruders.ts";
import { fromOrtAdapter, toOrtAdapter } from "./peft/convert/onnxAdapter.ts";
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
  await checkFree(options);
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
    case "onnxAdapter":
      return convertToOrt(options, to);
    case "gguf":
      return convertToGguf(options, to);
    case "peft":
      return importAdapter(options);
    default:
      return to satisfies never;
  }
}

async function convertToLora(
  options: ConvertAdapterOptions,
  { size }: Conversion & { kind: "lora" },
): Promise<ConvertReport> {
  const { onProgress, signal } = options;
  onProgress?.({ step: t("Reading the adapter") });
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
  options.onProgress?.({ step: t("Reading the adapter") });
  const checkpoint = await openAdapterCheckpoint(options.path, options.signal);
  return write(await change(checkpoint), checkpoint, { ...options, warnings: [] });
}

async function convertToOrt(
  options: ConvertAdapterOptions,
  to: Conversion & { kind: "onnxAdapter" },
): Promise<ConvertReport> {
  const checkpoint = await openAdapterCheckpoint(options.path, options.signal);
  const { adapter, modules } = await toOrtAdapter(checkpoint, { ...options, ...to });
  return writeOneFile(options, modules, (file) => writeOrtAdapter(file, adapter, options.signal));
}

async function convertToGguf(
  options: ConvertAdapterOptions,
  to: Conversion & { kind: "gguf" },
): Promise<ConvertReport> {
  const { signal } = options;
  const checkpoint = await openAdapterCheckpoint(options.path, signal);
  const base = describeBase(await openBase(checkpoint, options));
  const { keys, tensors, modules } = await toGguf({ checkpoint, base }, { ...options, ...to });
  return writeOneFile(options, modules, (file) => writeGguf(file, keys, { tensors, signal }));
}

async function importAdapter(options: ConvertAdapterOptions): Promise<ConvertReport> {
  const { path: file, signal } = options;
  options.onProgress?.({ step: t("Reading the adapter") });
  const checkpoint =
    options.base === undefined ? null : (await openModel(options.base, signal)).checkpoint;
  const described = checkpoint && describeBase(checkpoint);
  const base =
    checkpoint && described
      ? { name: repoIdOf(checkpoint.dir) ?? checkpoint.dir, tree: described.tree }
      : null;
  const extension = path.extname(file);
  if (extension === ".gguf") {
    const { modules, invocation } = await fromGguf(await openGguf(file), {
      base: described,
      signal,
    });
    return writeImported(importedAdapter(modules, { base, file, invocation }), options);
  }
  if (extension === ".onnx_adapter") {
    const modules = fromOrtAdapter(await readOrtAdapter(file, signal), file);
    return writeImported(importedAdapter(modules, { base, file }), options);
  }
  throw badRequest(
    t("{0} is no file that Graft turns into an adapter: .gguf or .onnx_adapter.", file),
  );
}

/** There is no card to start from: one is made. */
async function writeImported(
  converted: ConvertedAdapter,
  options: ConvertAdapterOptions,
): Promise<ConvertReport> {
  const dir = path.resolve(options.target);
  const config = adapterConfigOf(JSON.parse(converted.configText) as JsonObject);
  return write(converted, { dir, config }, { ...options, warnings: [] });
}

/**
 * Says before long work that its result would have no place.
 * @throws bad-request when something is there that may not be replaced
 */
async function checkFree({ to, target, overwrite }: ConvertAdapterOptions): Promise<void> {
  const isFileWanted = to.kind === "onnxAdapter" || to.kind === "gguf";
  const found = await stat(target).catch(() => null);
  if (!found) return;
  if (found.isFile() !== isFileWanted) {
    const [is, wanted] = isFileWanted ? [t("a folder"), "file"] : [t("a file"), "folder"];
    throw badRequest(t("{0} is {1}. Name a {2}.", target, is, wanted));
  }
  if (isFileWanted && /^adapter_(model|config)\./.test(path.basename(target))) {
    throw badRequest(t("{0} has the name of an adapter's own file. Choose another one.", target));
  }
  const owned = isFileWanted ? target : path.join(target, adapterConfigName);
  if (overwrite === true || !(await isFile(owned))) return;
  throw badRequest(
    t("{0} exists already. Choose another {1}.", owned, isFileWanted ? t("file") : t("folder")),
  );
}

async function writeOneFile(
  { target, overwrite, onProgress, signal }: ConvertAdapterOptions,
  modules: readonly ConvertedModule[],
  write: (file: string) => Promise<void>,
): Promise<ConvertReport> {
  onProgress?.({ step: t("Writing") });
  const name = path.basename(target);
  const plan = { files: [{ name, write }], owned: [name] };
  const at = { ...(overwrite && { overwrite }), ...(signal && { signal }) };
  await writeFolder(path.dirname(path.resolve(target)), plan, at);
  const file = await realpath(target);
  return { target: file, files: [file], modules, warnings: [] };
}

/** The base that is named, or the one that the adapter's config leads to. */
async function openBase(
  checkpoint: AdapterCheckpoint,
  { base, signal }: ConvertAdapterOptions,
): Promise<BaseCheckpoint> {
  const folder = base ?? (await findBaseFolder(checkpoint));
  if (folder !== null) return (await openModel(folder, signal)).checkpoint;
  const own = checkpoint.config.baseName ?? t("which its config does not name");
  throw badRequest(t("The conversion needs the adapter's base, {0}. Name its folder.", own));
}

async function write(
  { tensors, configText, modules, warnings }: ConvertedAdapter,
  first: Pick<AdapterCheckpoint, "dir" | "config">,
  at: ConvertAdapterOptions & { warnings: readonly string[] },
): Promise<ConvertReport> {
  const { target, overwrite = false, onProgress, signal } = at;
  onProgress?.({ step: t("Writing") });
  const made = { tensors, configText, warnings };
  const lora = { ...first, config: { ...first.config, peftType: "LORA" } };
  const files = await saveCombined(made, target, {
    first: lora,
    base: at.base && (await realpath(at.base)),
    leadToBase: true,
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
