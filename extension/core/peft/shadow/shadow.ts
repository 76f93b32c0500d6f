/**
 * Shadow (PEFT tuners/shadow): a small decoder reads the tokens beside the base. Its last stream,
 * projected to the base's size, is the state s. Around every chosen block
 *
 *     h ← h + alpha · W_up W_down (h − s)
 *     s ← (1 − g) ⊙ s + g ⊙ T(h'),   g = sigmoid(G(h')),   h' what the block gives
 *
 * with T and G of two layers and GELU between. Run time: the decoder is a session of its own with a
 * cache of its own (Companion in effect.ts), run before the base; s and the small networks are
 * inputs of the base's session. It cannot be merged.
 */
import { realpath } from "node:fs/promises";
import { dtypeLabel } from "../../base/dtype.ts";
import { misfit, unsupported } from "../../base/errors.ts";
import { parseFields } from "../../base/json.ts";
import { transposed } from "../../base/matrix.ts";
import { elementCount } from "../../base/shape.ts";
import type { AdapterCheckpoint } from "../../checkpoint/adapterCheckpoint.ts";
import type { AdapterConfig } from "../../checkpoint/adapterConfig.ts";
import type { WeightRef } from "../../checkpoint/baseCheckpoint.ts";
import type { ModelConfig } from "../../checkpoint/modelConfig.ts";
import type { TensorEntry } from "../../safetensors/header.ts";
import type { Companion, CompanionBlock, SmallNetwork } from "../effect.ts";
import { type AdapterLayer, adapterLayers } from "../adapterLayers.ts";
import type {
  BindReport,
  LoadedWeights,
  Method,
  MethodBase,
  ModuleSummary,
  ParameterCounts,
} from "../method.ts";
import { checkCombinations } from "../tuner/config.ts";
import { valueWarnings, wholeEffects } from "../tuner/growingEffects.ts";
import { shapeMisfit } from "../tuner/shapeMisfit.ts";
import { floats, readEntries, type Values } from "../tuner/tensors.ts";
import { type WholeParameter, wholeParameters } from "../tuner/wholeParameters.ts";
import { blockTensors, chosenBlocks, hiddenSize } from "./blocks.ts";
import { mirrorConfig, namedConfig } from "./companionConfig.ts";
import {
  checkShadowConfig,
  type ShadowConfig,
  shadowFields,
  shadowSchema,
} from "./shadowConfig.ts";

const decoder = "base_model.shadow_backbone.default.";
const projectionName = "base_model.shadow_projection.default.weight";

export const shadow: Method = {
  peftType: "SHADOW",
  fields: shadowFields,
  check: (config) => void parse(config),
  rank: (config) => parse(config).r,
  summarize: ({ weights, config }) => summarize(weights.tensors, parse(config)),
  bind: (adapter, base) => bind(parse(adapter.config), adapter, base).report,
  load: (adapter, base, signal) => load(parse(adapter.config), { adapter, base, signal }),
};

function parse({ raw, file, taskType }: AdapterConfig): ShadowConfig {
  const config = parseFields(shadowSchema, raw, file);
  checkCombinations(config, file);
  checkShadowConfig(config, file);
  if (taskType === "SEQ_CLS") {
    throw unsupported(`${file}: Graft runs language models, not Shadow adapters that classify`);
  }
  return config;
}

function summarize(
  tensors: readonly TensorEntry[],
  { r, shadow_alpha }: ShadowConfig,
): ModuleSummary[] {
  const places = new Map<string, TensorEntry[]>();
  for (const entry of tensors) {
    const path = entry.name
      .replace(/^base_model\.(model\.)?/, "")
      .replace(/\.(\d+\.)?(weight|bias)$/, "")
      .replace(/(?<=(^|\.)shadow_\w+)\.default/, "");
    places.set(path, [...(places.get(path) ?? []), entry]);
  }
  return [...places].map(([path, own]) => {
    const isJoint = /\.shadow_(down|up)$/.test(path);
    return {
      path,
      parameters: sizeOf(own),
      rank: isJoint ? r : null,
      alpha: isJoint ? shadow_alpha : null,
      scaling: isJoint ? shadow_alpha : null,
      shape: null,
      dtype: own[0] ? dtypeLabel(own[0].dtype) : "",
    };
  });
}

interface Binding {
  readonly report: BindReport;
  /** By block, then by the tensor's name after the block's path. */
  readonly blocks: ReadonlyMap<string, ReadonlyMap<string, TensorEntry>>;
  /** The decoder's own tensors by their names in it. */
  readonly decoder: ReadonlyMap<string, TensorEntry>;
  readonly projection: TensorEntry | undefined;
  readonly whole: readonly WholeParameter[];
}

function bind(config: ShadowConfig, adapter: AdapterCheckpoint, base: MethodBase): Binding {
  const { file } = adapter.config;
  const entries = new Map(adapter.weights.tensors.map((entry) => [entry.name, entry]));
  const blocks = new Map<string, Map<string, TensorEntry>>();
  const unbound: string[] = [];
  for (const path of chosenBlocks(config, base, file)) {
    const own = new Map<string, TensorEntry>();
    for (const [part, shape] of Object.entries(blockTensors(config, base))) {
      const name = `base_model.model.${path}.${part}`;
      const entry = entries.get(name);
      if (!entry) continue;
      if (entry.shape.join() !== shape.join()) {
        throw shapeMisfit(adapter, { name: `${path}.${part}`, entry, wanted: shape });
      }
      entries.delete(name);
      own.set(part, entry);
    }
    if (own.size === Object.keys(blockTensors(config, base)).length) blocks.set(path, own);
    else unbound.push(path);
  }
  const projection = entries.get(projectionName);
  entries.delete(projectionName);
  const own = new Map<string, TensorEntry>();
  for (const [name, entry] of [...entries]) {
    if (!name.startsWith(decoder) || !isOfDecoder(name.slice(decoder.length), config)) continue;
    own.set(name.slice(decoder.length), entry);
    entries.delete(name);
  }
  const others = [...entries].map(
    ([name, entry]) => [name.replace(/^base_model\.model\./, ""), entry] as const,
  );
  const { whole, strangers } = wholeParameters(
    { modules_to_save: config.modules_to_save, bias: "none" },
    new Map(others),
    { adapter, base },
  );
  const report = {
    total: blocks.size + unbound.length,
    bound: [...blocks.keys()],
    unbound,
    unexpected: strangers,
  };
  return { report, blocks, decoder: own, projection, whole };
}

/** Layers beyond those of the config are none of the decoder's. */
function isOfDecoder(name: string, config: ShadowConfig): boolean {
  const layer = /^layers\.(\d+)\./.exec(name)?.[1];
  if (layer === undefined || config.shadow_model !== "mirror") return true;
  return Number(layer) < (config.shadow_num_hidden_layers ?? 1);
}

async function load(
  config: ShadowConfig,
  at: { adapter: AdapterCheckpoint; base: MethodBase; signal: AbortSignal | undefined },
): Promise<LoadedWeights> {
  const { adapter, base, signal } = at;
  const { file } = adapter.weights;
  const bound = bind(config, adapter, base);
  const small = [...bound.blocks.values()].flatMap((own) => [...own.values()]);
  const read = [
    ...small,
    ...(bound.projection ? [bound.projection] : []),
    ...bound.whole.map(({ entry }) => entry),
  ];
  const values = await readEntries(read, file, signal);
  const replaced = new Map(
    bound.whole.map(({ module, parameter, entry }) => [
      `${module.path}.${parameter}`,
      floats(values, entry, file),
    ]),
  );
  const companion = await companionOf(config, bound, { ...at, values });
  const effects = { ...(await wholeEffects(bound.whole, replaced, base)), companion };
  const counts = countsOf(config, bound);
  return {
    effects,
    parameters: counts.trained,
    counts,
    layers: layersOf(config, bound, base),
    warnings: valueWarnings(values, effects),
  };
}

async function companionOf(
  config: ShadowConfig,
  bound: Binding,
  at: { adapter: AdapterCheckpoint; base: MethodBase; values: Values },
): Promise<Companion> {
  const { adapter, base, values } = at;
  const { file } = adapter.config;
  const isMirror = config.shadow_model === "mirror";
  const own = isMirror
    ? mirrorConfig(config, base, file)
    : await namedConfig(config.shadow_model, file);
  const hidden = hiddenSize(base);
  const ownHidden = own.raw["hidden_size"];
  if (ownHidden !== hidden) checkProjection(bound, { hidden, own, adapter });
  const sharesEmbedding = config.share_embeddings && isMirror && ownHidden === hidden;
  const blocks = new Map<string, CompanionBlock>();
  for (const [path, tensors] of bound.blocks) {
    const get = (part: string): Float32Array =>
      floats(values, tensors.get(part) as TensorEntry, adapter.weights.file);
    blocks.set(path, blockOf(config, { get, hidden }));
  }
  return {
    hidden,
    config: own,
    weights: await decoderWeights(bound, adapter),
    sharesEmbedding,
    projection:
      bound.projection && ownHidden !== hidden
        ? floats(values, bound.projection, adapter.weights.file)
        : null,
    blocks,
  };
}

function checkProjection(
  { projection }: Binding,
  { hidden, own, adapter }: { hidden: number; own: ModelConfig; adapter: AdapterCheckpoint },
): void {
  const wanted = [hidden, Number(own.raw["hidden_size"])];
  if (!projection) {
    throw misfit(
      `${adapter.weights.file} has no tensor "${projectionName}", which brings ${wanted[1]} to ${hidden}.`,
      { file: adapter.weights.file, tensor: projectionName },
    );
  }
  if (projection.shape.join() === wanted.join()) return;
  throw shapeMisfit(adapter, { name: "shadow_projection", entry: projection, wanted });
}

/** The decoder's tensors under the names that a checkpoint of its family has. */
async function decoderWeights(
  { decoder: own }: Binding,
  { weights }: AdapterCheckpoint,
): Promise<Map<string, WeightRef>> {
  const file = await realpath(weights.file);
  return new Map(
    [...own].map(([name, entry]) => {
      if (entry.strides) {
        throw unsupported(
          `${file}: "${entry.name}" does not lie row by row, so the decoder cannot be mapped from it`,
          "Save the adapter as safetensors.",
        );
      }
      return [`model.${name}`, { ...entry, name: `model.${name}`, file }] as const;
    }),
  );
}

function blockOf(
  config: ShadowConfig,
  { get, hidden }: { get: (part: string) => Float32Array; hidden: number },
): CompanionBlock {
  const { r: rank, shadow_alpha: alpha } = config;
  const width = config.update_hidden_size ?? rank;
  const turned = (part: string, rows: number, columns: number): Float32Array =>
    Float32Array.from(transposed(get(part), rows, columns));
  const network = (name: string): SmallNetwork => ({
    inner: turned(`shadow_update_${name}.default.0.weight`, width, hidden),
    innerBias: get(`shadow_update_${name}.default.0.bias`),
    outer: turned(`shadow_update_${name}.default.2.weight`, hidden, width),
    outerBias: get(`shadow_update_${name}.default.2.bias`),
  });
  return {
    rank,
    width,
    down: turned("shadow_down.default.weight", rank, hidden),
    up: turned("shadow_up.default.weight", hidden, rank).map((value) => alpha * value),
    candidate: network("transform"),
    gate: network("gate"),
  };
}

/** PEFT leaves the decoder trainable also in inference; one that was loaded keeps its embedding frozen. */
function countsOf(config: ShadowConfig, bound: Binding): ParameterCounts {
  const small = sizeOf([...bound.blocks.values()].flatMap((own) => [...own.values()]));
  const saved = sizeOf(bound.whole.filter(({ isTrained }) => isTrained).map(({ entry }) => entry));
  const own = sizeOf([...bound.decoder.values(), ...(bound.projection ? [bound.projection] : [])]);
  const table = bound.decoder.get("embed_tokens.weight");
  const frozen = config.shadow_model !== "mirror" && table ? sizeOf([table]) : 0;
  const all = small + saved + own;
  return {
    trained: all - frozen,
    trainable: all - frozen,
    alwaysTrainable: own - frozen,
    added: all,
    stored: all,
  };
}

/** PEFT's layers: the wrapped blocks, then modules that are stored whole. */
function layersOf(config: ShadowConfig, bound: Binding, { tree }: MethodBase): AdapterLayer[] {
  const saved = adapterLayers(tree, {
    targets: [],
    modulesToSave: config.modules_to_save,
    tokenTables: new Set(),
    tiesCopies: false,
  });
  const blocks = [...bound.blocks.keys()].map(
    (path) => ({ path, kind: "tuner", module: "linear" }) as const,
  );
  return [...blocks, ...saved];
}

function sizeOf(entries: readonly TensorEntry[]): number {
  return entries.reduce((sum, { shape }) => sum + elementCount(shape), 0);
}
