/** Which tensors of a Shadow adapter belong where, and what people are told of them. */
import { dtypeLabel } from "../../base/dtype.ts";
import { isSameShape, totalElements } from "../../base/shape.ts";
import type { AdapterCheckpoint } from "../../checkpoint/adapterCheckpoint.ts";
import type { TensorEntry } from "../../safetensors/header.ts";
import { type AdapterLayer, adapterLayers } from "../adapterLayers.ts";
import type { BindReport, MethodBase, ModuleSummary, ParameterCounts } from "../method.ts";
import { shapeMisfit } from "../tuner/shapeMisfit.ts";
import { type WholeParameter, wholeParameters } from "../tuner/wholeParameters.ts";
import { blockTensors, chosenBlocks } from "./blocks.ts";
import type { ShadowConfig } from "./shadowConfig.ts";

const decoder = "base_model.shadow_backbone.default.";
export const projectionName = "base_model.shadow_projection.default.weight";

export interface Binding {
  readonly report: BindReport;
  /** By block, then by the tensor's name after the block's path. */
  readonly blocks: ReadonlyMap<string, ReadonlyMap<string, TensorEntry>>;
  /** The decoder's own tensors by their names in it. */
  readonly decoder: ReadonlyMap<string, TensorEntry>;
  readonly projection: TensorEntry | undefined;
  readonly whole: readonly WholeParameter[];
}

/** Finds a place for every tensor of the file; reads nothing but headers. */
export function bind(config: ShadowConfig, adapter: AdapterCheckpoint, base: MethodBase): Binding {
  const rest = new Map(adapter.weights.tensors.map((entry) => [entry.name, entry]));
  const { blocks, unbound } = takeBlocks(rest, config, { adapter, base });
  const projection = rest.get(projectionName);
  rest.delete(projectionName);
  const own = new Map<string, TensorEntry>();
  const others = new Map<string, TensorEntry>();
  for (const [name, entry] of rest) {
    const inner = name.startsWith(decoder) ? name.slice(decoder.length) : null;
    if (inner !== null && isOfDecoder(inner, config)) own.set(inner, entry);
    else others.set(name.replace(/^base_model\.model\./, ""), entry);
  }
  const { whole, strangers } = wholeParameters(
    { modules_to_save: config.modules_to_save, bias: "none" },
    others,
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

/** Takes the tensors of chosen blocks out of a file's. */
function takeBlocks(
  rest: Map<string, TensorEntry>,
  config: ShadowConfig,
  { adapter, base }: { adapter: AdapterCheckpoint; base: MethodBase },
): { blocks: Map<string, Map<string, TensorEntry>>; unbound: string[] } {
  const blocks = new Map<string, Map<string, TensorEntry>>();
  const unbound: string[] = [];
  const parts = Object.entries(blockTensors(config, base));
  for (const path of chosenBlocks(config, base, adapter.config.file)) {
    const own = new Map<string, TensorEntry>();
    for (const [part, wanted] of parts) {
      const name = `base_model.model.${path}.${part}`;
      const entry = rest.get(name);
      if (!entry) continue;
      if (!isSameShape(entry.shape, wanted)) {
        throw shapeMisfit(adapter, { name: `${path}.${part}`, entry, wanted });
      }
      rest.delete(name);
      own.set(part, entry);
    }
    if (own.size === parts.length) blocks.set(path, own);
    else unbound.push(path);
  }
  return { blocks, unbound };
}

/** Layers beyond those of the config are none of the decoder's. */
function isOfDecoder(name: string, config: ShadowConfig): boolean {
  const layer = /^layers\.(\d+)\./.exec(name)?.[1];
  if (layer === undefined || config.shadow_model !== "mirror") return true;
  return Number(layer) < (config.shadow_num_hidden_layers ?? 1);
}

/** One row per module of PEFT's model that the file has tensors for. */
export function summarize(
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
      parameters: totalElements(own),
      rank: isJoint ? r : null,
      alpha: isJoint ? shadow_alpha : null,
      scaling: isJoint ? shadow_alpha : null,
      shape: null,
      dtype: own[0] ? dtypeLabel(own[0].dtype) : "",
    };
  });
}

/** PEFT leaves the decoder trainable also in inference; one that was loaded keeps its embedding frozen. */
export function countsOf(config: ShadowConfig, bound: Binding): ParameterCounts {
  const small = totalElements([...bound.blocks.values()].flatMap((own) => [...own.values()]));
  const saved = totalElements(
    bound.whole.filter(({ isTrained }) => isTrained).map(({ entry }) => entry),
  );
  const own = totalElements([
    ...bound.decoder.values(),
    ...(bound.projection ? [bound.projection] : []),
  ]);
  const table = bound.decoder.get("embed_tokens.weight");
  const frozen = config.shadow_model !== "mirror" && table ? totalElements([table]) : 0;
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
export function layersOf(
  config: ShadowConfig,
  bound: Binding,
  { tree }: MethodBase,
): AdapterLayer[] {
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
