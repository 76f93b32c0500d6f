import { t } from "@vscode/l10n";
import { unsupported } from "../base/errors.ts";
import type { AdapterCheckpoint } from "../checkpoint/adapterCheckpoint.ts";
import type { AdapterEffects } from "../peft/effect.ts";
import type { BindReport, Method, MethodBase, OpenedModule } from "../peft/method.ts";
import { baseOfTensors, targetingOnly } from "./withoutBase.ts";

/** An adapter whose modules can be looked at one after the other. */
export interface OpenedForAnalysis {
  /** As the adapter's layers are run; without weights where there is no base. */
  readonly base: MethodBase;
  readonly hasWeights: boolean;
  readonly modules: readonly OpenedModule[];
  /** Null without a base. */
  readonly report: BindReport | null;
  /** What is not of one module; null where all is. */
  readonly rest: AdapterEffects | null;
}

/**
 * @throws misfit when nothing of the adapter has a place in the base
 * @throws unsupported without a base when the file alone says nothing of the method's modules
 */
export async function openForAnalysis(at: {
  checkpoint: AdapterCheckpoint;
  method: Method;
  base: MethodBase | null;
  signal?: AbortSignal | undefined;
}): Promise<OpenedForAnalysis> {
  const { checkpoint, method, base, signal } = at;
  if (!base) return withoutBase(checkpoint, method, signal);
  if (method.open) {
    const opened = await method.open(checkpoint, base, signal);
    return { ...opened, hasWeights: true, rest: null };
  }
  const report = method.bind(checkpoint, base);
  const { effects } = await method.load(checkpoint, base, signal);
  return { base, hasWeights: true, modules: loadedModules(effects), report, rest: effects };
}

async function withoutBase(
  checkpoint: AdapterCheckpoint,
  method: Method,
  signal: AbortSignal | undefined,
): Promise<OpenedForAnalysis> {
  const base = baseOfTensors(checkpoint, method);
  const stored = method.summarize(checkpoint);
  const unknown = ({ path }: { path: string }): boolean =>
    !base.tree.modules.some((module) => module.path === path);
  const known = base.tree.modules.length === 0 ? [] : await openKnown();
  const others = stored.filter(unknown).map(({ path, parameters }): OpenedModule => ({
    path,
    parameters,
    effects: () =>
      Promise.reject(unsupported(t("It follows from the base, which is not on this machine."))),
  }));
  return { base, hasWeights: false, modules: [...known, ...others], report: null, rest: null };

  async function openKnown(): Promise<readonly OpenedModule[]> {
    const own = targetingOnly(checkpoint, base);
    return (await method.open?.(own, base, signal))?.modules ?? [];
  }
}

/** Modules of an adapter that cannot be read one by one. */
function loadedModules(effects: AdapterEffects): OpenedModule[] {
  const { linear, embeddings, norms, experts } = effects;
  const paths = [linear, embeddings, norms, experts].flatMap((map) => [...(map?.keys() ?? [])]);
  const modules = new Set(paths.map((path) => path.replace(/\.bias$/, "")));
  return [...modules].map((path) => ({
    path,
    parameters: 0,
    effects: () => Promise.resolve({ ...effects, norms: normsOf(path, effects) }),
  }));
}

function normsOf(path: string, { norms }: AdapterEffects): ReadonlyMap<string, Float32Array> {
  return new Map([...(norms ?? [])].filter(([key]) => key === path || key === `${path}.bias`));
}
