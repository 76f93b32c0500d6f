import * as path from "node:path";
import type { EngineProcess } from "../engineProcess.ts";
import { failureOf } from "../failure.ts";
import type { ConfigBase, ConfigFacts } from "../protocol/configContract.ts";
import type { BaseModules } from "../protocol/trainPageContract.ts";
import type { RunConfig } from "../protocol/trainingContract.ts";

/** What a base has, what an adapter's config chooses of it, and how much of it would be trained. */
export async function describeBase(
  engine: Pick<EngineProcess, "request">,
  { base, adapter }: Pick<RunConfig, "base" | "adapter">,
  signal: AbortSignal,
): Promise<BaseModules> {
  const config = adapter.kind === "new" ? adapter.config : {};
  const text = JSON.stringify({ ...config, base_model_name_or_path: base });
  // No adapter is there yet: what the config says is held against the base alone.
  const file = path.join(base, "new-adapter", "adapter_config.json");
  const params = { path: file, text, standIn: base };
  const counting = engine.request("countTrainable", { base, adapter }, { signal }).then(
    (count) => ({ count, problem: null }),
    (thrown: unknown) => ({ count: null, problem: failureOf(thrown) }),
  );
  const facts = await engine.request("describeConfig", params, { signal });
  const { count, problem } = await counting;
  const modules = modulesOf(facts, adapter.kind === "new");
  if (modules.problem || !problem) return { ...modules, count };
  const field = problem.details["field"];
  const known = typeof field === "string" ? field : null;
  return { ...modules, count, problem: { message: problem.message, field: known } };
}

/** The ends of a base's linear layers, as target_modules names them, most frequent first. */
function modulesOf(
  { base, patterns, problem, baseProblem }: ConfigFacts,
  hasConfig: boolean,
): Omit<BaseModules, "count"> {
  const names = new Map<string, BaseModules["names"][number]>();
  for (const module of base?.modules ?? []) {
    if (module.kind !== "linear") continue;
    const name = module.path.slice(module.path.lastIndexOf(".") + 1);
    const known = names.get(name) ?? { name, count: 0, parameters: 0 };
    const parameters = known.parameters + weightsOf(module);
    names.set(name, { name, count: known.count + 1, parameters });
  }
  const targets = patterns.filter(({ kind }) => kind === "target" || kind === "regex");
  const chosen = targets.reduce((sum, target) => sum + target.chosen, 0);
  const own = hasConfig ? problem : null;
  const found = own ?? (baseProblem === "" ? null : { message: baseProblem, field: "base" });
  return {
    names: [...names.values()].sort((a, b) => b.count - a.count),
    divisor: base && divisorOf(base),
    chosen: base && targets.length > 0 ? chosen : null,
    problem: found && { message: found.message, field: found.field },
  };
}

/** The greatest common divisor of the sizes of all linear layers that are one of many. */
export function divisorOf({ modules }: Pick<ConfigBase, "modules">): number | null {
  const layers = modules.filter(({ kind, path: own }) => kind === "linear" && /\.\d+\./.test(own));
  const common = (a: number, b: number): number => (b === 0 ? a : common(b, a % b));
  const divisor = layers.reduce((all, module) => common(common(all, module.in), module.out), 0);
  return divisor === 0 ? null : divisor;
}

function weightsOf(module: ConfigBase["modules"][number]): number {
  return module.in * module.out;
}
