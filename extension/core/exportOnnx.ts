import { t } from "@vscode/l10n";
import { mkdir, realpath, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { badRequest, throwIfAborted, unsupported } from "./base/errors.ts";
import { isFile } from "./base/files.ts";
import { filesIn, refuseTaken, createFolder } from "./base/folders.ts";
import { readJsonObject } from "./base/json.ts";
import type { BaseModel } from "./baseModel.ts";
import type { OnProgress } from "./base/progress.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import { checkExport, type ProbeInputs } from "./exportCheck.ts";
import { genaiConfig } from "./exportedConfig.ts";
import { type ExportedDtype, writeExportedWeights } from "./exportedWeights.ts";
import type { NamedEffects } from "./loadedAdapters.ts";
import { mergeInMemory } from "./mergeInMemory.ts";
import { copyModelFiles } from "./copyModelFiles.ts";
import type { CausalModel } from "./models/causalModel.ts";
import { buildModel } from "./models/index.ts";
import { standardGraph } from "./models/standardModel.ts";
import type { Graph } from "./onnx/graph.ts";
import { bareLayers, type LayerHook } from "./onnx/layerHook.ts";
import { encodeModel } from "./onnx/protobuf.ts";
import { writeOrtAdapter } from "./ortAdapter/write.ts";
import { adapterPortsHook, portSizes, portTensors } from "./peft/adapterPorts.ts";
import type { SlotTensor } from "./peft/slots/slotTensors.ts";

export interface ExportOnnxOptions {
  /** Where the model is written: a folder that does not exist yet. */
  readonly folder: string;
  /**
   * "merged" (the default) writes the active adapters into the weights. "inputs" makes their factors
   * inputs of the graph, fed from an `.onnx_adapter` file for each, so that one model serves them all.
   */
  readonly adapters?: "merged" | "inputs";
  /** What weights are kept in; fp32 when absent. Arithmetic is fp32 with either. */
  readonly dtype?: ExportedDtype;
  /** "genai" (the default) has all files in one folder, "transformers.js" the model below onnx/. */
  readonly layout?: "genai" | "transformers.js";
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

export interface ExportOnnxReport {
  readonly folder: string;
  /** Paths relative to the folder. */
  readonly files: readonly string[];
  readonly bytes: number;
  /** Largest difference of a logit between the written model and the session, as it was run to check it. */
  readonly difference: number;
}

/**
 * Writes a decoder, with adapters, as an ONNX model that optimum, transformers.js and ONNX Runtime
 * GenAI run, with config, tokenizer and genai_config.json; then runs what was written and compares.
 * The base is not changed; a failure leaves no folder behind.
 * @throws bad-request for a folder that exists; unsupported for what an export cannot hold
 */
export async function exportOnnx(
  base: BaseModel,
  active: readonly NamedEffects[],
  options: ExportOnnxOptions,
): Promise<ExportOnnxReport> {
  const folder = path.resolve(options.folder);
  await refuseTaken(folder);
  const { layout = "genai", adapters = "merged" } = options;
  const written = await createFolder(folder, async (partial) => {
    const inner = layout === "genai" ? partial : path.join(partial, "onnx");
    await mkdir(inner, { recursive: true });
    const at = { ...options, folder: partial, inner };
    const difference =
      adapters === "inputs"
        ? await exportWithInputs(base, active, at)
        : await exportMerged(base, active, at);
    throwIfAborted(options.signal);
    return { ...(await filesIn(partial)), difference };
  });
  return { folder: await realpath(folder), ...written };
}

type Place = ExportOnnxOptions & { inner: string };

async function exportMerged(
  base: BaseModel,
  active: readonly NamedEffects[],
  at: Place,
): Promise<number> {
  if (active.length === 0) return exportCheckpoint(base, base.checkpoint, at);
  const merged = await mergeInMemory(base, active, at);
  try {
    return await exportCheckpoint(base, merged.checkpoint, at);
  } finally {
    await merged.dispose();
  }
}

async function exportCheckpoint(
  base: BaseModel,
  checkpoint: BaseCheckpoint,
  at: Place,
): Promise<number> {
  const written = await writeWeights(checkpoint, at);
  const model = decoder(written);
  await writeModel(base, model, { ...at, graph: standardGraph(model), checkpoint });
  return checkExport(base, modelFile(at), { ...at, reference: { model, inputs: new Map() } });
}

/** Each adapter is run once against the session. */
async function exportWithInputs(
  base: BaseModel,
  active: readonly NamedEffects[],
  at: Place,
): Promise<number> {
  if (active.length === 0) throw badRequest(t("No adapter is active: name those that get inputs."));
  const sizes = portSizes(base.adaptable.tree, active);
  const written = await writeWeights(base.checkpoint, at);
  const model = decoder(written, adapterPortsHook(new Set(sizes.keys())));
  const tensors = active.map((each) => portTensors(sizes, [each]));
  const ports = new Set(portTensors(sizes, []).map(({ name }) => name));
  const { checkpoint } = base;
  await writeModel(base, model, { ...at, graph: standardGraph(model, ports), checkpoint });
  let difference = 0;
  for (const [i, { name }] of active.entries()) {
    const own = tensors[i] as SlotTensor[];
    const file = path.join(at.inner, `${fileName(name)}.onnx_adapter`);
    await writeOrtAdapter(file, adapterFile(own), at.signal);
    const inputs: ProbeInputs = new Map(own.map((tensor) => [tensor.name, tensor]));
    const reference = { model, inputs };
    difference = Math.max(difference, await checkExport(base, modelFile(at), { ...at, reference }));
  }
  return difference;
}

/** The weights that the graph reads, each once. */
async function writeWeights(checkpoint: BaseCheckpoint, at: Place): Promise<BaseCheckpoint> {
  const { graph } = decoder(checkpoint);
  const names = graph.initializers.flatMap(({ name, data }) =>
    data.kind === "external" ? [name as string] : [],
  );
  const strange = names.find((name) => !checkpoint.weights.has(name));
  if (strange !== undefined) {
    throw unsupported(
      t('"{0}" is quantized, which Graft does not write as an ONNX model yet', strange),
      t("Load the base without quantization, then export."),
    );
  }
  const { dtype = "fp32" } = at;
  return writeExportedWeights(checkpoint, names, {
    ...at,
    file: path.join(at.inner, "model.onnx.data"),
    dtype,
  });
}

async function writeModel(
  base: BaseModel,
  model: CausalModel,
  at: Place & { graph: Graph; checkpoint: BaseCheckpoint },
): Promise<void> {
  await writeFile(modelFile(at), encodeModel(at.graph).bytes);
  await copyModelFiles(at.checkpoint, at.folder);
  const generation = path.join(base.checkpoint.dir, "generation_config.json");
  const settings = (await isFile(generation)) ? await readJsonObject(generation) : {};
  const file = path.relative(at.folder, modelFile(at)).split(path.sep).join("/");
  const config = genaiConfig(base, model, { file, generation: settings });
  const text = `${JSON.stringify(config, null, 2)}\n`;
  await writeFile(path.join(at.folder, "genai_config.json"), text);
}

/** @throws unsupported for models of other kinds */
function decoder(checkpoint: BaseCheckpoint, hook: LayerHook = bareLayers): CausalModel {
  const model = buildModel(checkpoint, hook);
  if (model.kind === "causal" && model.head === undefined) return model;
  const { architecture, modelType } = checkpoint.config;
  throw unsupported(
    t(
      "{0} is not exported yet: only language models that go on with a text are",
      architecture || modelType,
    ),
  );
}

function modelFile({ inner }: { inner: string }): string {
  return path.join(inner, "model.onnx");
}

function adapterFile(tensors: readonly SlotTensor[]): Parameters<typeof writeOrtAdapter>[1] {
  return {
    adapterVersion: 1,
    modelVersion: 1,
    parameters: tensors.map(({ name, shape, data }) => ({
      name,
      dtype: "F32",
      shape,
      bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    })),
  };
}

/** An adapter's name as a file's on every platform. */
function fileName(name: string): string {
  return name.replace(/[^\w.-]+/g, "_");
}
