import { t } from "@vscode/l10n";
import * as path from "node:path";
import { type Dtype } from "../base/dtype.ts";
import { GraftError, unsupported } from "../base/errors.ts";
import type { BaseCheckpoint } from "../checkpoint/baseCheckpoint.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { isTied, type ModuleInfo, type ModuleTree } from "../checkpoint/modules.ts";
import type { CausalModel } from "../models/causalModel.ts";
import type { Model } from "../models/model.ts";
import { describeConfig } from "../models/describeConfig.ts";
import type { DecoderPorts, PastPort } from "../models/decoderPorts.ts";
import type { Graph, OnnxType } from "../onnx/graph.ts";
import type { LayerHook } from "../onnx/layerHook.ts";
import { readModel } from "../onnx/readModel.ts";
import { decoderPorts, portNames } from "./decoderPorts.ts";
import { readExportConfig, readGenaiConfig, sizeIn } from "./exportConfig.ts";
import { ExportTensors } from "./exportTensors.ts";
import { type ExportPlace, refuseParts } from "./findExport.ts";
import { GraphIndex } from "./graphIndex.ts";
import { guessModules } from "./guessModules.ts";
import { linearSites } from "./linearSites.ts";
import { type ExpectedModules, type ExportMap, groupsOf, mapModules } from "./mapModules.ts";
import { refuseMerged, refuseOldOperators } from "./refusals.ts";
import { rewriteExport } from "./rewrite.ts";

/** An ONNX export, read and mapped; no weight touched. */
export interface OnnxExport {
  readonly place: ExportPlace;
  readonly map: ExportMap;
  /** As a base: without tensors of its own, which are in the graph's files. */
  readonly checkpoint: BaseCheckpoint;
  readonly tensors: ExportTensors;
  /** The decoder with a hook around its mapped layers. */
  model(hook: LayerHook): CausalModel;
  /** How many modules were found of those that config.json describes, and how; for people and machines. */
  readonly report: ExportReport;
}

export interface ExportReport {
  readonly file: string;
  readonly variant: string;
  readonly variants: readonly string[];
  /** Who wrote the file, as it says itself. */
  readonly producer: string;
  readonly total: number;
  readonly mapped: readonly {
    readonly path: string;
    readonly operator: string;
    readonly rule: string;
  }[];
  readonly missing: readonly { readonly path: string; readonly reason: string }[];
  readonly warnings: readonly string[];
}

/**
 * Reads an export and finds the modules of its model in it.
 * @throws bad-file, not-found or unsupported, naming file and field
 */
export async function openExport(place: ExportPlace, signal?: AbortSignal): Promise<OnnxExport> {
  refuseParts(place);
  const graph = await readModel(place.file, signal);
  refuseMerged(graph, place.file);
  const index = new GraphIndex(graph);
  const genai = await readGenaiConfig(place.dir, signal);
  const config = await readExportConfig(place.dir, { genai, sites: linearSites(index) }, signal);
  const blank = blankCheckpoint(place, config);
  const known = knownModel(blank);
  const expected = known.model ?? guessModules(index);
  const map = mapModules(index, expected);
  if (map.linears.length === 0 && map.embeddings.length === 0) {
    throw unsupported(
      t(
        "{0}: none of the {1} modules of the model was found in its graph",
        place.file,
        expected.tree.modules.length,
      ),
      t("The names of its nodes and weights tell nothing. Export it again with names kept."),
    );
  }
  const names = portNames(genai);
  const ports = decoderPorts(graph, { names, sizes: known.model, file: place.file });
  const logits = logitsName(graph, place.file);
  const tree = foundTree(expected.tree, map);
  const rewriting = { index, map, head: tree.outputEmbedding, tokens: ports.tokens.name, logits };
  const rest = describeDecoder(known.model, { config, ports, tree, groups: groupsOf(map) });
  return {
    ...{ place, map },
    checkpoint: { ...blank, ...totals(expected, index) },
    tensors: new ExportTensors(index, map),
    model: (hook) => {
      const made = rewriteExport(rewriting, hook);
      refuseOldOperators(graph, made, place.file);
      return { ...rest, graph: made };
    },
    report: reportOf(place, { expected, map, graph, warning: known.warning }),
  };
}

/** What a session must know of a decoder, its graph aside. */
function describeDecoder(
  model: CausalModel | null,
  at: { config: ModelConfig; ports: DecoderPorts } & Pick<CausalModel, "tree" | "groups">,
): Omit<CausalModel, "graph"> {
  const { config, ports, tree, groups } = at;
  const size = (...names: string[]): number | null => sizeIn(config.raw, names);
  const { heads, dim } = ports.past[0] as PastPort;
  const queries = model
    ? model.queriesPerKey * model.keyValueHeads
    : (size("num_attention_heads", "n_head") ?? heads);
  return {
    kind: "causal",
    ...{ tree, groups, ports, masks: [], rotary: [] },
    layers: ports.past.length / 2,
    keyValueHeads: heads,
    queriesPerKey: queries / heads,
    headDim: dim,
    vocabulary: model?.vocabulary ?? size("vocab_size") ?? 0,
    contextLength:
      model?.contextLength ?? size("max_position_embeddings", "n_positions") ?? shortContext,
  };
}

/** Tokens of context where no config says how many. */
const shortContext = 2048;

/** The model as its family's file describes it; null, and a word why, for a family that is not known. */
function knownModel(checkpoint: BaseCheckpoint): {
  model: CausalModel | null;
  warning: string | null;
} {
  let model: Model;
  try {
    model = describeConfig(checkpoint);
  } catch (error) {
    if (!(error instanceof GraftError)) throw error;
    const warning = t("Modules are known by the export's own names alone: {0}", error.message);
    return { model: null, warning };
  }
  if (model.kind === "causal" && !model.head) return { model, warning: null };
  throw unsupported(
    t(
      "{0}: Graft runs ONNX exports that write text, not of {1}",
      checkpoint.dir,
      checkpoint.config.architecture,
    ),
    t("Load the model's Hugging Face checkpoint instead."),
  );
}

function logitsName({ outputs }: Graph, file: string): string {
  const found = outputs.find(({ name }) => name === "logits");
  if (found) return found.name;
  const own = outputs.map(({ name }) => name).join(", ");
  throw unsupported(t('{0}: it has no output "logits", only {1}', file, own));
}

/** The modules that were found, in the model's order. */
function foundTree({ modules, outputEmbedding }: ModuleTree, map: ExportMap): ModuleTree {
  const missing = new Set(map.missing.map(({ path }) => path));
  const found = modules.filter(({ path }) => !missing.has(path));
  const hasHead = outputEmbedding !== null && !missing.has(outputEmbedding);
  return { modules: found, outputEmbedding: hasHead ? outputEmbedding : null };
}

/** A base without tensors of its own: those of an export are in its graph. */
export function blankCheckpoint({ dir, file }: ExportPlace, config: ModelConfig): BaseCheckpoint {
  const name = `${path.basename(dir)} (${path.basename(file)})`;
  const blank = { weights: new Map(), files: [], shardNames: [path.basename(file)] };
  return { dir, name, config, onnx: file, ...blank, parameters: 0, bytes: 0, dtype: "F32" };
}

/** Parameters as the model counts them; a tied head has none. */
export function parametersOf(module: ModuleInfo): number {
  if (isTied(module)) return 0;
  switch (module.kind) {
    case "linear":
      return module.in * module.out + (module.hasBias ? module.out : 0);
    case "embedding":
      return module.in * module.out;
    case "norm":
      return module.out * (module.hasBias ? 2 : 1);
    default:
      return module satisfies never;
  }
}

const dtypes: Partial<Record<OnnxType, Dtype>> = {
  ...{ float32: "F32", float16: "F16", bfloat16: "BF16" },
  ...{ uint8: "U8", int8: "I8", int4: "F4", uint4: "F4" },
};

/** Parameters as the model counts them, bytes as the graph's constants take them. */
function totals(
  { tree }: ExpectedModules,
  { graph }: GraphIndex,
): Pick<BaseCheckpoint, "parameters" | "bytes" | "dtype"> {
  const sizes = new Map<Dtype, number>();
  for (const { type, data } of graph.initializers) {
    const own =
      data.kind === "external" ? data.byteLength : data.kind === "inline" ? data.bytes.length : 0;
    const dtype = dtypes[type];
    if (dtype) sizes.set(dtype, (sizes.get(dtype) ?? 0) + own);
  }
  const ranked = [...sizes].sort((a, b) => b[1] - a[1]);
  return {
    parameters: tree.modules.reduce((sum, module) => sum + parametersOf(module), 0),
    bytes: ranked.reduce((sum, [, own]) => sum + own, 0),
    dtype: ranked[0]?.[0] ?? "F32",
  };
}

function reportOf(
  { file, variants }: ExportPlace,
  at: { expected: ExpectedModules; map: ExportMap; graph: Graph; warning: string | null },
): ExportReport {
  const { expected, map, graph, warning } = at;
  const mapped = [
    ...map.linears.flatMap(({ site, modules, rule }) =>
      modules.map(({ path: own }) => ({ path: own, operator: site.node.op, rule: rule as string })),
    ),
    ...map.embeddings.map(({ module, node }) => ({
      ...{ path: module.path, operator: node.op, rule: t("node name") },
    })),
    ...expected.tree.modules
      .filter(({ kind, path: own }) => kind === "norm" && !map.missing.some((m) => m.path === own))
      .map(({ path: own }) => ({ path: own, operator: "constant", rule: t("weight name") })),
  ];
  const guessed = map.linears.filter(({ rule }) => rule === "order").length;
  return {
    file,
    variant: path.basename(file, ".onnx"),
    variants,
    producer: graph.format?.producer ?? "",
    total: expected.tree.modules.length,
    mapped,
    missing: map.missing,
    warnings: [
      ...(warning === null ? [] : [warning]),
      ...(guessed === 0
        ? []
        : [
            t(
              "Names are lost in {0}: {1} layers are known by their order and shapes alone. Compare answers before you trust them.",
              path.basename(file),
              guessed,
            ),
          ]),
    ],
  };
}
