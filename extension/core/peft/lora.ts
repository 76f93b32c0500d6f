/**
 * LoRA (https://arxiv.org/abs/2106.09685; PEFT tuners/lora): y = W x + s · B (A x).
 * Run time: the low-rank path, A and B as graph inputs of any rank, s folded into B. Layers that
 * share an input share one A (factors stacked) and one block-diagonal B, so that a swap of adapters
 * is a choice of other input tensors and several adapters add up by standing side by side.
 */
import { dtypeLabel, isFloatDtype } from "../base/dtype.ts";
import { badFile, misfit, throwIfAborted, unsupported } from "../base/errors.ts";
import { elementCount, isSameShape, type Shape, showShape } from "../base/shape.ts";
import { type AdapterCheckpoint, plainTensorName } from "../checkpoint/adapterCheckpoint.ts";
import { resolveTargets } from "../checkpoint/targets.ts";
import type { LayerHook, LinearGroup, LinearModule } from "../onnx/layerHook.ts";
import type { TensorEntry } from "../safetensors/header.ts";
import { readFloat32 } from "../safetensors/read.ts";
import {
  loraFields,
  loraScale,
  parseLoraConfig,
  refuseUnsupported,
  configWarnings,
  targetFields,
} from "./loraConfig.ts";
import type {
  BindReport,
  LoadedWeights,
  Method,
  MethodBase,
  ModuleSummary,
  SlotTensor,
} from "./method.ts";

/** The factors of one layer group, laid out as the graph takes them, scaling folded into B. */
export interface GroupFactors {
  /** [in, rank]: the modules' Aᵀ side by side. */
  readonly a: Float32Array;
  /** [rank, Σ out]: the modules' s · Bᵀ as blocks on the diagonal. */
  readonly b: Float32Array;
  /** Sum of the modules' ranks. */
  readonly rank: number;
}

/** A loaded LoRA adapter: factors by the name of the layer group. */
export interface LoraWeights extends LoadedWeights {
  readonly groups: ReadonlyMap<string, GroupFactors>;
}

interface StoredPair {
  a?: TensorEntry;
  b?: TensorEntry;
}

export const lora: Method<LoraWeights> = {
  peftType: "LORA",
  fields: loraFields,
  check: (config) => {
    parseLoraConfig(config);
    refuseUnsupported(config);
  },
  rank: (config) => parseLoraConfig(config).r,
  summarize,
  bind: (adapter, base) => bindLora(adapter, base).report,
  load,
  hook: loraHook(),
};

/** Which adapters run in a session at what weight. */
export interface ActiveLora {
  readonly weights: LoraWeights;
  readonly weight: number;
}

/** Names of a group's two inputs. */
function slotNames(group: LinearGroup): { a: string; b: string } {
  return { a: `${group.name}.lora_A`, b: `${group.name}.lora_B` };
}

/** Declares A [adapters, in, rank] and B [adapters, rank, Σ out] around a group; rank 0 is neutral. */
function loraHook(): LayerHook {
  return (g, group, { x, base }) => {
    if (!hasSlot(group)) return base(x);
    const names = slotNames(group);
    const { inputs, outs } = groupSize(group);
    const a = g.input(names.a, "float32", ["adapters", inputs, `${group.name}.rank`]);
    const b = g.input(names.b, "float32", ["adapters", `${group.name}.rank`, outs]);
    return g.add(base(x), g.matMul(g.matMul(x, a), b));
  };
}

/** Every layer of the stack has a slot; heads and embeddings do not yet. */
function hasSlot(group: LinearGroup): boolean {
  return group.modules.every((module) => module.path !== "lm_head");
}

/**
 * The tensors that a group's inputs get when these adapters are active, in order of activation. One
 * adapter at weight 1 is its own tensors; several stand side by side, each weight folded into B.
 */
export function loraSlots(group: LinearGroup, active: readonly ActiveLora[]): SlotTensor[] {
  if (!hasSlot(group)) return [];
  const names = slotNames(group);
  const { inputs, outs } = groupSize(group);
  const parts = active.flatMap(({ weights, weight }) => {
    const factors = weights.groups.get(group.name);
    return factors && weight !== 0 ? [{ factors, weight }] : [];
  });
  const { a, b, rank } = mix(parts, inputs, outs);
  return [
    { name: names.a, shape: [1, inputs, rank], data: a },
    { name: names.b, shape: [1, rank, outs], data: b },
  ];
}

function mix(
  parts: readonly { factors: GroupFactors; weight: number }[],
  inputs: number,
  outs: number,
): GroupFactors {
  const [first] = parts;
  if (parts.length === 1 && first?.weight === 1) return first.factors;
  const rank = parts.reduce((sum, { factors }) => sum + factors.rank, 0);
  const a = new Float32Array(inputs * rank);
  const b = new Float32Array(rank * outs);
  let start = 0;
  for (const { factors, weight } of parts) {
    for (let row = 0; row < inputs; row++) {
      const source = factors.a.subarray(row * factors.rank, (row + 1) * factors.rank);
      a.set(source, row * rank + start);
    }
    b.set(
      factors.b.map((value) => value * weight),
      start * outs,
    );
    start += factors.rank;
  }
  return { a, b, rank };
}

function groupSize(group: LinearGroup): { inputs: number; outs: number } {
  return {
    inputs: (group.modules[0] as LinearModule).in,
    outs: group.modules.reduce((sum, module) => sum + module.out, 0),
  };
}

interface ModuleFactors {
  /** [rank, in], as PEFT stores it. */
  readonly a: Float32Array;
  /** [out, rank], as PEFT stores it. */
  readonly b: Float32Array;
  readonly rank: number;
  readonly scaling: number;
}

/** Lays the factors of a group's modules out as its inputs take them. */
function packGroup(
  group: LinearGroup,
  factors: ReadonlyMap<string, ModuleFactors>,
): GroupFactors | null {
  const { inputs, outs } = groupSize(group);
  const ranks = group.modules.map((module) => factors.get(module.path)?.rank ?? 0);
  const rank = ranks.reduce((sum, each) => sum + each, 0);
  if (rank === 0) return null;
  const a = new Float32Array(inputs * rank);
  const b = new Float32Array(rank * outs);
  let row = 0;
  let column = 0;
  for (const module of group.modules) {
    const own = factors.get(module.path);
    if (own) {
      const size = { rows: own.rank, columns: inputs };
      transposeInto(a, own.a, { ...size, stride: rank, offset: row });
      const scaled = own.b.map((value) => value * own.scaling);
      const block = { rows: module.out, columns: own.rank };
      transposeInto(b, scaled, { ...block, stride: outs, offset: row * outs + column });
      row += own.rank;
    }
    column += module.out;
  }
  return { a, b, rank };
}

/** Writes sourceᵀ into a larger row-major matrix of `stride` columns. */
function transposeInto(
  target: Float32Array,
  source: Float32Array,
  at: { rows: number; columns: number; stride: number; offset: number },
): void {
  const { rows, columns, stride, offset } = at;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      target[offset + column * stride + row] = source[row * columns + column] as number;
    }
  }
}

function summarize(adapter: AdapterCheckpoint): ModuleSummary[] {
  const fields = parseLoraConfig(adapter.config);
  const { pairs } = storedPairs(adapter);
  return [...pairs].map(([path, { a, b }]) => {
    const { alpha, scaling } = loraScale(fields, path, adapter.config.file);
    const known = [a, b].filter((entry) => entry !== undefined);
    return {
      path,
      parameters: known.reduce((sum, { shape }) => sum + elementCount(shape), 0),
      rank: a?.shape[0] ?? b?.shape[1] ?? null,
      alpha,
      scaling,
      shape: a && b ? [a.shape[1] ?? 0, b.shape[0] ?? 0] : null,
      dtype: known[0] ? dtypeLabel(known[0].dtype) : "",
    };
  });
}

/** State of a training variant that answers do not depend on: MonteCLoRA is LoRA in evaluation. */
const trainingOnly = /\.lora_monteclora_sampler\./;

/** Tensors of linear factors by module path, and those that are none. */
function storedPairs(adapter: AdapterCheckpoint): {
  pairs: Map<string, StoredPair>;
  others: string[];
} {
  const pairs = new Map<string, StoredPair>();
  const others: string[] = [];
  for (const entry of adapter.weights.tensors) {
    const match = /^(.+)\.lora_(A|B)\.weight$/.exec(plainTensorName(entry.name));
    if (!match) {
      if (!trainingOnly.test(entry.name)) others.push(entry.name);
      continue;
    }
    const [, path, side] = match as unknown as [string, string, "A" | "B"];
    const pair = pairs.get(path) ?? {};
    pair[side === "A" ? "a" : "b"] = entry;
    pairs.set(path, pair);
  }
  return { pairs, others };
}

/** PEFT saves embeddings whole beside the factors when the vocabulary grew or it was told to. */
function refuseWholeModules(
  { weights }: AdapterCheckpoint,
  names: readonly string[],
  { tree }: MethodBase,
): void {
  const weightNames = new Set(tree.modules.map(({ path }) => `${path}.weight`));
  const whole = names.find((name) => weightNames.has(plainTensorName(name)));
  if (whole !== undefined) {
    throw unsupported(
      `${weights.file}: Graft does not run adapters that hold whole modules ("${whole}") yet`,
    );
  }
}

interface BoundLora {
  readonly report: BindReport;
  readonly modules: readonly {
    path: string;
    a: TensorEntry;
    b: TensorEntry;
    rank: number;
    scaling: number;
  }[];
}

function bindLora(adapter: AdapterCheckpoint, base: MethodBase): BoundLora {
  const { config } = adapter;
  const fields = parseLoraConfig(config);
  refuseUnsupported(config);
  const place = { file: config.file, defaultTargets: base.defaultTargets };
  const targets = resolveTargets(base.tree, targetFields(fields, place));
  const { pairs, others } = storedPairs(adapter);
  refuseWholeModules(adapter, others, base);
  const taken = new Set<string>();
  const unbound: string[] = [];
  const modules: BoundLora["modules"][number][] = [];
  for (const target of targets) {
    if (target.kind !== "linear" || target.path === base.tree.outputEmbedding) {
      throw unsupported(`${config.file}: Graft does not run LoRA on ${target.path} yet`);
    }
    const pair = pairs.get(target.path);
    if (!pair?.a || !pair.b) {
      unbound.push(target.path);
      continue;
    }
    const scale = loraScale(fields, target.path, config.file);
    checkShapes(adapter, { target, a: pair.a, b: pair.b, rank: scale.rank });
    taken.add(target.path);
    modules.push({
      path: target.path,
      a: pair.a,
      b: pair.b,
      rank: scale.rank,
      scaling: scale.scaling,
    });
  }
  const strangers = [...pairs].filter(([path]) => !taken.has(path));
  const unexpected = [
    ...strangers.flatMap(([, { a, b }]) => [a, b].flatMap((entry) => entry?.name ?? [])),
    ...others,
  ];
  const total = new Set([...targets.map((target) => target.path), ...pairs.keys()]).size;
  return { modules, report: { total, bound: [...taken], unbound, unexpected } };
}

function checkShapes(
  adapter: AdapterCheckpoint,
  { target, a, b, rank }: { target: LinearModule; a: TensorEntry; b: TensorEntry; rank: number },
): void {
  const expect = (entry: TensorEntry, shape: Shape): void => {
    if (isSameShape(entry.shape, shape)) return;
    throw misfit(
      `${adapter.weights.file}: tensor "${entry.name}" is ${showShape(entry.shape)}, ` +
        `${target.path} of this base with rank ${rank} needs ${showShape(shape)}. ` +
        (adapter.config.baseName ? `The adapter was trained on ${adapter.config.baseName}.` : ""),
      { file: adapter.weights.file, tensor: entry.name, module: target.path },
    );
  };
  expect(a, [rank, target.in]);
  expect(b, [target.out, rank]);
}

async function load(
  adapter: AdapterCheckpoint,
  base: MethodBase,
  signal?: AbortSignal,
): Promise<LoraWeights> {
  const { modules, report } = bindLora(adapter, base);
  const entries = modules.flatMap(({ a, b }) => [a, b]);
  for (const { name, dtype } of entries) {
    if (!isFloatDtype(dtype)) {
      throw badFile(
        adapter.weights.file,
        `tensor "${name}" is ${dtype}; LoRA factors are floating-point`,
      );
    }
  }
  const values = await readFloat32(adapter.weights.file, entries, signal);
  const factors = new Map(
    modules.map(({ path, a, b, rank, scaling }) => {
      const own = { a: values.get(a.name), b: values.get(b.name), rank, scaling };
      return [path, own as ModuleFactors];
    }),
  );
  const groups = new Map<string, GroupFactors>();
  for (const group of base.groups) {
    throwIfAborted(signal);
    const packed = packGroup(group, factors);
    if (packed) groups.set(group.name, packed);
  }
  return {
    groups,
    parameters: parametersOf(adapter, report),
    warnings: [...configWarnings(adapter.config, base), ...valueWarnings(values, factors)],
  };
}

/** Every parameter that the adapter brings, training-only ones included, as PEFT counts them. */
function parametersOf({ weights }: AdapterCheckpoint, { unexpected }: BindReport): number {
  return weights.tensors
    .filter(({ name }) => !unexpected.includes(name))
    .reduce((sum, { shape }) => sum + elementCount(shape), 0);
}

/** NaN, Inf and updates that are zero everywhere are named: PEFT loads them without a word. */
function valueWarnings(
  values: ReadonlyMap<string, Float32Array>,
  factors: ReadonlyMap<string, ModuleFactors>,
): string[] {
  const warnings = [...values]
    .filter(([, data]) => !data.every(Number.isFinite))
    .map(([name]) => `Tensor "${name}" holds NaN or infinite values.`);
  const isZero = (data: Float32Array): boolean => data.every((value) => value === 0);
  const changes = [...factors.values()].some(
    ({ a, b, scaling }) => scaling !== 0 && !isZero(b) && !isZero(a),
  );
  if (!changes) warnings.push("The adapter changes nothing: its update is zero in every module.");
  return warnings;
}
