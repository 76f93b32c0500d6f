import { elementCount, totalElements } from "../../base/shape.ts";
import type { AdapterCheckpoint } from "../../checkpoint/adapterCheckpoint.ts";
import { isTied, type ModuleInfo, weightName } from "../../checkpoint/modules.ts";
import type { TensorEntry } from "../../safetensors/header.ts";
import { type AdapterLayer, adapterLayers } from "../adapterLayers.ts";
import type { MethodBase, ParameterCounts } from "../method.ts";
import type { Binding } from "./binding.ts";
import type { TunerConfig } from "./config.ts";
import type { Tuner } from "./tuner.ts";
import { isSaved, type WholeParameter } from "./wholeParameters.ts";

const tokenRows = /(^|\.)trainable_tokens_delta$/;

/** Counts as PEFT's `get_nb_trainable_parameters` does; what tied modules share counts once. */
export function countParameters<C extends TunerConfig>(
  tuner: Tuner<C>,
  config: C,
  at: { bound: Binding; adapter: AdapterCheckpoint; base: MethodBase },
): ParameterCounts {
  const { bound, adapter, base } = at;
  const whole = bound.whole.filter(({ isTrained }) => isTrained);
  // Of a module that is saved whole PEFT has a copy, bias and all; other biases are the base's own.
  const isCopy = ({ module, parameter }: WholeParameter): boolean =>
    parameter === "weight" || isSaved(module.path, config);
  const biases = totalElements(whole.filter((each) => !isCopy(each)).map(({ entry }) => entry));
  const copies = totalElements(whole.filter(isCopy).map(({ entry }) => entry));
  const own =
    totalElements(ownTensors(tuner, config, at)) +
    totalElements(
      adapter.weights.tensors.filter(
        ({ name }) => tuner.ignored?.test(name) && !isFrozen(tuner, name),
      ),
    );
  const unstored = bound.targets.flatMap((module) => tuner.unstored?.(config, module) ?? []);
  const sumOf = (kind: "trained" | "frozen" | "rebuilt"): number =>
    unstored.reduce((sum, each) => sum + (each[kind] ?? 0), 0);
  const whenLoaded = own + sumOf("rebuilt") + copies;
  return {
    trained: whenLoaded + biases + sumOf("trained"),
    trainable: whenLoaded + biases,
    alwaysTrainable: biases,
    added: whenLoaded + sumOf("frozen") + grownRows(bound, base),
    stored: totalElements(adapter.weights.tensors),
  };
}

/** Trained tensors of the method itself, without those that another module has already counted. */
function ownTensors<C extends TunerConfig>(
  tuner: Tuner<C>,
  config: C,
  { bound, base }: { bound: Binding; base: MethodBase },
): TensorEntry[] {
  const modules = new Map(base.tree.modules.map((module) => [module.path, module]));
  const unexpected = new Set(bound.report.unexpected);
  const { targets } = bound;
  const isCounted = (path: string, suffix: string): boolean => {
    const module = modules.get(path);
    if (isFrozen(tuner, suffix)) return false;
    if (module === undefined) return true;
    // A head that is tied to the embeddings has their rows.
    if (tokenRows.test(suffix) && isTied(module)) {
      const table = [...modules.values()].find((each) => isTableOf(each, module));
      if (table && bound.stored.get(table.path)?.has(suffix)) return false;
    }
    return tuner.isOwn?.(suffix, { module, config, targets }) ?? true;
  };
  const own = [...bound.stored].flatMap(([path, tensors]) =>
    [...tensors].filter(([suffix]) => isCounted(path, suffix)).map(([, entry]) => entry),
  );
  const shared = [...bound.shared].filter(([name]) => !isFrozen(tuner, name));
  return [...own, ...shared.map(([, entry]) => entry)].filter(({ name }) => !unexpected.has(name));
}

function isFrozen<C extends TunerConfig>({ frozen }: Tuner<C>, name: string): boolean {
  return (
    frozen?.some((each) => (typeof each === "string" ? each === name : each.test(name))) ?? false
  );
}

function isTableOf(table: ModuleInfo, head: ModuleInfo): boolean {
  return table.kind === "embedding" && weightName(table) === weightName(head);
}

/** Rows that the adapter's vocabulary has beyond the base's: PEFT's user has grown the base. */
function grownRows({ whole }: Binding, { tree }: MethodBase): number {
  const grown = whole.filter(({ isTrained, parameter }) => !isTrained && parameter === "weight");
  const tables = new Set(tree.modules.filter((module) => !isTied(module)));
  return grown.reduce((sum, { module, entry }) => {
    if (module.kind === "norm" || !tables.has(module)) return sum;
    return sum + elementCount(entry.shape) - module.in * module.out;
  }, 0);
}

/** The layers that an adapter puts into the model. */
export function layersOf<C extends TunerConfig>(
  tuner: Tuner<C>,
  config: C,
  { bound, base }: { bound: Binding; base: MethodBase },
): AdapterLayer[] {
  const { tree } = base;
  const targets = new Set(bound.targets.map(({ path }) => path));
  const hasTokenAdapter = tuner.suffixes.some((suffix) => suffix.startsWith("token_adapter."));
  const extra = new Set(tuner.extraModules?.(config, base));
  // A table's rows are at every end of a tied table.
  const tables = new Set(tree.modules.filter(({ path }) => extra.has(path)).map(weightName));
  const ends = tree.modules.filter((module) => tables.has(weightName(module)));
  return adapterLayers(tree, {
    targets: hasTokenAdapter
      ? bound.targets
      : [...bound.targets, ...ends.filter(({ path }) => !targets.has(path))],
    parameters: new Set(bound.parameters.map(({ target }) => target.stored)),
    modulesToSave: config.modules_to_save,
    tokenTables: new Set(hasTokenAdapter ? ends.map(({ path }) => path) : []),
    tiesCopies: config["ensure_weight_tying"] === true,
  });
}
