/** Puts a method's formulas around the layers of a graph that is being built. */
import { t } from "@vscode/l10n";
import { unsupported } from "../../base/errors.ts";
import { layerIndex } from "../../checkpoint/modules.ts";
import type { ParameterTarget } from "../../checkpoint/parameters.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import {
  bareLayers,
  type GroupLayers,
  type LayerHook,
  type LinearGroup,
  type LinearModule,
  oneByOne,
  type Outputs,
} from "../../onnx/layerHook.ts";
import type { TunerConfig } from "../tuner/config.ts";
import type { TunerPlan } from "../tuner/tuner.ts";
import { Dropout } from "./dropout.ts";
import { Invocation } from "./invocation.ts";
import { taskIdsName } from "./names.ts";
import { type ParameterInputs, peftPrefix } from "./parameters.ts";
import type { TrainableTuner, TrainedLayer, TrainedModule } from "./tuner.ts";
import { replacedColumns, replacedRows, type TokenTable } from "./tokenRows.ts";
import type { WholeTensor } from "./whole.ts";
import { missingParts, wholeBase, type WholeNames, wholeNames } from "./wholeLayers.ts";

interface HookAt<C extends TunerConfig> {
  readonly tuner: TrainableTuner<C>;
  readonly plan: TunerPlan<C>;
  readonly inputs: ParameterInputs;
  readonly whole: WholeNames;
  readonly targets: ReadonlySet<string>;
  /** Parameters of layers and tables that are targeted by their own names, by path. */
  readonly named: ReadonlyMap<string, ParameterTarget>;
  readonly tables: readonly TokenTable[];
  readonly dropout: Dropout;
  readonly isQuiet: boolean;
  readonly invocation: Invocation | null;
}

export function tunerHook<C extends TunerConfig>(
  tuner: TrainableTuner<C>,
  plan: TunerPlan<C>,
  {
    inputs,
    whole,
    tokens: tables,
    isQuiet,
  }: {
    inputs: ParameterInputs;
    whole: readonly WholeTensor[];
    tokens: readonly TokenTable[];
    isQuiet: boolean;
  },
): LayerHook {
  const tokens = tuner.invocation?.(plan.config) ?? [];
  const at: HookAt<C> = {
    tuner,
    plan,
    inputs,
    whole: wholeNames(whole),
    targets: new Set(plan.targets.map(({ module }) => module.path)),
    named: new Map(
      plan.parameters.flatMap(({ target }) =>
        target.owner.kind === "module" ? [[target.path, target]] : [],
      ),
    ),
    tables,
    dropout: new Dropout(inputs),
    isQuiet,
    invocation: tokens.length > 0 ? new Invocation(tokens) : null,
  };
  return {
    ...bareLayers,
    linears: (g, group, layers) => linears(g, group, { ...at, layers }),
    embedding: (g, path, { rows, source }) => {
      if (source) at.invocation?.see(g, source.ids);
      const own = at.whole.get(`${path}.weight`);
      if (own !== undefined && source) return g.gather(inputs.in(g, own), source.ids);
      const trained = tables.find((each) => each.module.path === path);
      if (trained) {
        const { ids } = source ?? missingParts(path);
        return replacedRows(g, { ids, rows }, { table: trained, inputs });
      }
      const named = at.named.get(path);
      const module = plan.targets.find((each) => each.module.path === path)?.module;
      if (!module && !named) return rows;
      const { ids, table } = source ?? missingParts(path);
      if (named?.owner.kind === "module") {
        const change = tuner.parameterRows ?? missing(tuner.method.peftType, named.name);
        const own = { ...trainedModule(g, named.owner.module, at), ids, rows, table };
        return change(own, named.name);
      }
      if (!module) return rows;
      const make = tuner.embedding ?? missing(tuner.method.peftType, path);
      return make({ ...trainedModule(g, module, at), ids, rows, table });
    },
    norm: (g, key, { value }) => {
      const isBias = key.endsWith(".bias");
      const own = at.whole.get(isBias ? key : `${key}.weight`);
      if (own !== undefined) return inputs.in(g, own);
      const module = plan.targets.find((each) => each.module.path === key)?.module;
      if (!module || isBias) return value;
      const make = tuner.norm ?? missing(tuner.method.peftType, key);
      return make(trainedModule(g, module, at), value);
    },
    experts: (g, matrix) => {
      const target = plan.parameters.find(({ target: each }) => each.name === matrix.name)?.target;
      if (!target) return null;
      const { config, file } = plan;
      const make = tuner.experts ?? missing(tuner.method.peftType, matrix.name);
      const parameter = (suffix: string): Value =>
        inputs.in(g, `${peftPrefix}${target.stored}.${suffix}`);
      const shared = (name: string): Value => inputs.in(g, `base_model.${name}`);
      return make({ g, config, file, target, matrix, parameter, shared });
    },
  };
}

function trainedModule<C extends TunerConfig, M extends TrainedModule<C>["module"]>(
  g: GraphBuilder,
  module: M,
  { tuner, plan, inputs, dropout, isQuiet }: HookAt<C>,
): TrainedModule<C, M> {
  const { path } = module;
  const { config, file } = plan;
  // Layers of one stack see as many tokens; what comes before and behind it may not.
  const isInStack = layerIndex(path) !== null && !plan.base.hasEncoder;
  const rowsOf = (x: Value): Value | "stack" => (isInStack ? "stack" : x);
  return {
    g,
    config,
    file,
    module,
    parameter: (suffix) => {
      const owner = tuner.ownerOf?.(module, suffix, plan) ?? path;
      return inputs.in(g, `${peftPrefix}${owner}.${suffix}`);
    },
    shared: (name) => inputs.in(g, `base_model.${name}`),
    dropout: (x, probability, size = module.kind === "norm" ? module.out : module.in) => {
      if (isQuiet) return x;
      return dropout.apply(g, x, { probability, salt: path, size, rows: rowsOf(x) });
    },
    chance: (x, { size, salt, isPerText }) => {
      if (isQuiet) return null;
      const rows = isPerText ? "texts" : rowsOf(x);
      return dropout.chance(g, x, { salt: `${path}.${salt}`, size, rows });
    },
    tasks: () => inputs.declare(g, taskIdsName, () => g.input(taskIdsName, "int64", ["batch"])),
    masks: dropout.masks(g, path),
  };
}

function linears<C extends TunerConfig>(
  g: GraphBuilder,
  group: LinearGroup,
  at: HookAt<C> & { layers: GroupLayers },
): Outputs {
  const { layers } = at;
  const isOwn = ({ path }: LinearModule): boolean =>
    at.targets.has(path) ||
    at.named.has(path) ||
    at.whole.has(`${path}.weight`) ||
    at.whole.has(`${path}.bias`) ||
    tableOf(path, at.tables) !== undefined;
  if (!group.modules.some(isOwn)) return layers.base(layers.x);
  const parts = layers.parts ?? missingParts(group.name);
  let together: readonly Value[] | null = null;
  const outputs = (): readonly Value[] => (together ??= oneByOne(g, group, layers.base(layers.x)));
  return group.modules.map((module, index) =>
    g.scope(module.path, () => {
      const ownBase = wholeBase(g, module, { ...at, parts, index, outputs });
      const table = tableOf(module.path, at.tables);
      if (table) {
        const place = { table, inputs: at.inputs, weight: () => parts.weight(index) };
        return replacedColumns(g, { x: layers.x, y: ownBase(layers.x) }, place);
      }
      const named = at.named.get(module.path);
      if (!at.targets.has(module.path) && !named) return ownBase(layers.x);
      const biasName = at.whole.get(`${module.path}.bias`);
      const layer: TrainedLayer<C> = {
        ...trainedModule(g, module, at),
        x: layers.x,
        base: (x = layers.x) => ownBase(x),
        product: (x) => parts.product(index, x),
        weight: () => parts.weight(index),
        bias: () => (biasName === undefined ? parts.bias(index) : at.inputs.in(g, biasName)),
        active: () => at.invocation?.active(g) ?? missing(at.tuner.method.peftType, module.path),
      };
      const { linear, parameterLinear, method } = at.tuner;
      if (named)
        return (parameterLinear ?? missing(method.peftType, named.name))(layer, named.name);
      return (linear ?? missing(method.peftType, module.path))(layer);
    }),
  );
}

/** The table whose rows a head reads the other way, or has itself. */
function tableOf(path: string, tables: readonly TokenTable[]): TokenTable | undefined {
  return tables.find(
    ({ module, heads }) =>
      (module.kind === "linear" && module.path === path) || heads.includes(path),
  );
}

function missing(method: string, path: string): never {
  throw unsupported(t("Graft does not train {0} on {1}.", method, path));
}
