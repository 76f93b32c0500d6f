import { t } from "@vscode/l10n";
import { readdir, realpath } from "node:fs/promises";
import * as path from "node:path";
import { badRequest, notFound, unsupported } from "../base/errors.ts";
import { isFile } from "../base/files.ts";
import { hasWeightFiles } from "../checkpoint/weightFiles.ts";

/** An ONNX export on disk. */
export interface ExportPlace {
  /** Folder of config.json and tokenizer; that of the .onnx file or one above. */
  readonly dir: string;
  /** The .onnx file that is meant. */
  readonly file: string;
  /** All .onnx files beside it, by their names without the ending. */
  readonly variants: readonly string[];
}

const configs = ["config.json", "genai_config.json"];

/** Whether a path names an export: an .onnx file, or a folder that has one and no other weights. */
export async function isExport(place: string): Promise<boolean> {
  if (place.endsWith(".onnx")) return isFile(place);
  if (await hasWeightFiles(place)) return false;
  return (await filesOf(place)).length > 0;
}

/**
 * The export that a folder or an .onnx file is.
 * @param onnxFile of several variants the one that is meant: "model_q4", "onnx/model_q4.onnx"
 * @throws not-found for another name, bad-request where nobody can tell which is meant
 */
export async function findExport(place: string, onnxFile?: string): Promise<ExportPlace> {
  const isOne = place.endsWith(".onnx");
  const folder = isOne ? path.dirname(place) : place;
  const files = isOne ? await namesIn(folder) : await filesOf(folder);
  const file = isOne && onnxFile === undefined ? place : choose(folder, files, onnxFile);
  const beside = await namesIn(path.dirname(file));
  return {
    dir: await realpath(await configFolder(path.dirname(file))),
    file,
    variants: beside.map((name) => path.basename(name, ".onnx")),
  };
}

/** Where config.json lies: beside the model, or one folder above (transformers.js). */
async function configFolder(folder: string): Promise<string> {
  for (const each of [folder, path.dirname(folder)]) {
    for (const name of configs) if (await isFile(path.join(each, name))) return each;
  }
  throw notFound(
    t("Config"),
    path.join(folder, "config.json"),
    t(
      "Graft tells by config.json what the layers of an export are. Put the model's own beside it.",
    ),
  );
}

/** Paths of the .onnx files of a folder and of its `onnx` folder. */
export async function filesOf(folder: string): Promise<string[]> {
  const inner = path.join(folder, "onnx");
  return [...(await namesIn(folder)), ...(await namesIn(inner))];
}

async function namesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder).catch(() => []);
  return entries
    .filter((name) => name.endsWith(".onnx"))
    .sort()
    .map((name) => path.join(folder, name));
}

/** What a whole decoder is called, the usual first. */
const preferred = ["model", "decoder_with_past_model", "decoder_model_merged"];

function choose(folder: string, files: readonly string[], onnxFile: string | undefined): string {
  const label = (file: string): string => path.basename(file, ".onnx");
  const all = files.map(label).join(", ");
  if (onnxFile !== undefined) {
    const wanted = path.basename(onnxFile, ".onnx");
    const found = files.find((file) => label(file) === wanted);
    if (found) return found;
    throw notFound(
      t("ONNX model"),
      path.join(folder, onnxFile),
      t("There are: {0}.", all || t("none")),
    );
  }
  for (const name of preferred) {
    const found = files.find((file) => label(file) === name);
    if (found) return found;
  }
  const [only, ...others] = files;
  if (only === undefined)
    throw notFound(t("ONNX model"), folder, t("The folder has no .onnx file."));
  if (others.length > 0)
    throw badRequest(t("{0} has several models: {1}. Say which one.", folder, all));
  return only;
}

/** Models in several parts are not one decoder. */
export function refuseParts({ file }: ExportPlace): void {
  if (!/^(encoder_model|vision_encoder|embed_tokens)/.test(path.basename(file))) return;
  throw unsupported(t("{0} is one part of a model; Graft runs exports that are one decoder", file));
}
