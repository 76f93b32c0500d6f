/** What loading an adapter whole and loading it module by module share. */
import { t } from "@vscode/l10n";
import { misfit, unsupported } from "../../base/errors.ts";
import { transposed } from "../../base/matrix.ts";
import type { AdapterCheckpoint } from "../../checkpoint/adapterCheckpoint.ts";
import { type ModuleInfo, weightName } from "../../checkpoint/modules.ts";
import type { MethodBase } from "../method.ts";
import type { Binding } from "./binding.ts";
import type { TunerConfig } from "./config.ts";
import { addEmbedding, addLinear, type GrowingEffects } from "./growingEffects.ts";
import { splitAtBase } from "./grownHead.ts";
import { floats, type ModuleTensors, tensorsOf, type Values } from "./tensors.ts";
import type { Tuner, TunerContext } from "./tuner.ts";
import type { WholeParameter } from "./wholeParameters.ts";

export interface LoadAt {
  readonly adapter: AdapterCheckpoint;
  readonly base: MethodBase;
  /** The base's layers in the order in which the adapter runs them; null is each once. */
  readonly layers: readonly number[] | null;
  readonly signal: AbortSignal | undefined;
}

/** Parameters that are stored whole, by name, a weight as [out, in]. */
export function replacedBy(
  whole: readonly WholeParameter[],
  values: Values,
  file: string,
): Map<string, Float32Array> {
  return new Map(
    whole.map(({ module, parameter, entry }) => {
      const own = floats(values, entry, file);
      const isTurned = module.kind === "linear" && module.isTransposed && parameter === "weight";
      return [
        `${module.path}.${parameter}`,
        isTurned ? Float32Array.from(transposed(own, module.in, module.out)) : own,
      ];
    }),
  );
}

/** @param at `values`: of all tensors that are asked for; `replaced`: of parameters stored whole */
export function contextOf<C>(
  config: C,
  bound: Binding,
  at: LoadAt & { values: Values; replaced: ReadonlyMap<string, Float32Array> },
): TunerContext<C> {
  const { adapter, base, signal, values, replaced } = at;
  return {
    config,
    task: 0,
    file: adapter.config.file,
    base,
    shared: tensorsOf(bound.shared, values, adapter.weights.file),
    targets: bound.targets,
    adapterTensors: (path) =>
      tensorsOf(bound.stored.get(path) ?? new Map(), values, adapter.weights.file),
    weight: (module) => readWeight(module, replaced, at),
    bias: (module) => readBias(module, replaced, at),
    signal,
  };
}

async function readWeight(
  module: ModuleInfo,
  replaced: ReadonlyMap<string, Float32Array>,
  { base, signal }: LoadAt,
): Promise<Float32Array> {
  const own = replaced.get(`${module.path}.weight`);
  if (own) return own;
  const name = weightName(module);
  const weight = await base.readTensor(name, signal);
  if (!weight) throw misfit(t('The base has no tensor "{0}", which the adapter needs.', name));
  return weight;
}

async function readBias(
  module: ModuleInfo,
  replaced: ReadonlyMap<string, Float32Array>,
  { base, signal }: LoadAt,
): Promise<Float32Array | null> {
  return replaced.get(`${module.path}.bias`) ?? base.readTensor(`${module.path}.bias`, signal);
}

export async function addEffect<C extends TunerConfig>(
  tuner: Tuner<C>,
  effects: GrowingEffects,
  at: { module: ModuleInfo; own: ModuleTensors; context: TunerContext<C> },
): Promise<void> {
  const { module, own, context } = at;
  if (module.kind === "linear" && tuner.linear) {
    const effect = await tuner.linear(module, own, context);
    const base = context.base.tree.modules.find(({ path }) => path === module.path);
    const rows = base?.out ?? module.out;
    if (module.out === rows) return addLinear(effects, module, effect);
    const weight = await context.weight(module);
    const split = splitAtBase(effect, { grown: module, weight, rows });
    addLinear(effects, { ...module, out: rows }, split);
  } else if (module.kind === "embedding" && module.firstRow) {
    throw unsupported(
      t(
        "{0}: PEFT hands {1} the attention mask in place of positions, so that what {2} learns there depends on no position; Graft does not repeat it",
        context.file,
        module.path,
        tuner.peftType,
      ),
    );
  } else if (module.kind === "embedding" && tuner.embedding) {
    addEmbedding(effects, module.path, await tuner.embedding(module, own, context));
  } else if (module.kind === "norm" && tuner.norm) {
    const { weight, bias } = tuner.norm(module, own);
    effects.norms.set(module.path, weight);
    if (bias) effects.norms.set(`${module.path}.bias`, bias);
  } else {
    throw unsupported(
      t("{0}: Graft does not run {1} on {2} yet", context.file, tuner.peftType, module.path),
    );
  }
}
