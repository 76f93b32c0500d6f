import { readdir, stat } from "node:fs/promises";
import * as path from "node:path";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { describeConfig } from "../models/describeConfig.ts";
import { readExportConfig, readGenaiConfig } from "./exportConfig.ts";
import { findExport } from "./findExport.ts";
import { blankCheckpoint, parametersOf } from "./openExport.ts";

/** One variant of an export for a list, by config and file sizes: the graph is not read. */
export interface ExportSummary {
  /** The .onnx file: what `loadBaseModel` takes. */
  readonly file: string;
  /** "llama (model_q4.onnx)" */
  readonly name: string;
  readonly config: ModelConfig;
  /** 0 where the family is not known. */
  readonly parameters: number;
  /** As its name says: "int4", "fp16"; "" where it says nothing. */
  readonly dtype: string;
  readonly bytes: number;
}

/** Ends of names by which transformers.js and optimum tell variants. */
const labels: readonly [RegExp, string][] = [
  [/_fp16$/, "fp16"],
  [/_(q4f16|q4|bnb4)$/, "int4"],
  [/_(q2f16|q2)$/, "int2"],
  [/_(int8|uint8|quantized|q8)$/, "int8"],
];

/** @throws bad-file or not-found, as opening it would */
export async function summarizeExport(onnxFile: string): Promise<ExportSummary> {
  const place = await findExport(onnxFile);
  const genai = await readGenaiConfig(place.dir);
  const config = await readExportConfig(place.dir, { genai, sites: [] });
  const { name } = blankCheckpoint(place, config);
  const label = path.basename(onnxFile, ".onnx");
  return {
    file: onnxFile,
    ...{ name, config, parameters: parametersIn(place, config) },
    dtype: labels.find(([pattern]) => pattern.test(label))?.[1] ?? "",
    bytes: await bytesOf(onnxFile),
  };
}

function parametersIn(place: Parameters<typeof blankCheckpoint>[0], config: ModelConfig): number {
  try {
    const { tree } = describeConfig(blankCheckpoint(place, config));
    return tree.modules.reduce((sum, module) => sum + parametersOf(module), 0);
  } catch {
    return 0;
  }
}

/** The file with those that its name begins: model.onnx, model.onnx_data, model.onnx.data. */
async function bytesOf(file: string): Promise<number> {
  const [folder, name] = [path.dirname(file), path.basename(file)];
  let sum = 0;
  for (const each of await readdir(folder)) {
    if (each.startsWith(name)) sum += (await stat(path.join(folder, each))).size;
  }
  return sum;
}
