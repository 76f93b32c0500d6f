import type { LinearModule } from "../onnx/layerHook.ts";
import type { MethodBase } from "./method.ts";
import { tiedHeads } from "./tokenRows.ts";
import type { TunerConfig } from "./tuner/config.ts";

/**
 * `ensure_weight_tying` on a base whose head reads the embedding's table: whoever targets one of the
 * two targets both (PEFT tuners/lora/model.py, _add_targets_to_tie). Their factors are one another's
 * transposed and stored twice.
 */
export function tieTargets<C extends TunerConfig & { ensure_weight_tying: boolean }>(
  config: C,
  base: MethodBase,
): C {
  const { target_modules: targets, ensure_weight_tying: isTied } = config;
  const embedding = base.tree.modules.find(({ kind }) => kind === "embedding");
  const heads = embedding ? tiedHeads(embedding, base) : [];
  if (!isTied || !embedding || targets === null || heads.length === 0) return config;
  const both = [embedding.path, ...heads.map(({ path }: LinearModule) => path)];
  const last = new Set(both.map((path) => path.split(".").at(-1) as string));
  if (typeof targets === "string") {
    const whole = new RegExp(`^(?:${targets})$`);
    if (targets === "all-linear" || ![...last].some((name) => whole.test(name))) return config;
    const exact = both.map((path) => path.replaceAll(".", "\\."));
    return { ...config, target_modules: [`(?:${targets})`, ...exact].join("|") };
  }
  const named = targets.some((name) => last.has(name.split(".").at(-1) as string));
  return named ? { ...config, target_modules: [...new Set([...targets, ...both])] } : config;
}
