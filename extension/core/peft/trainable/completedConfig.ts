import { applyEdits, modify } from "jsonc-parser";
import { type AdapterConfig, parseAdapterConfig } from "../../checkpoint/adapterConfig.ts";
import type { MethodBase } from "../method.ts";
import type { TunerConfig } from "../tuner/config.ts";
import type { TunerMethod } from "../tuner/tuner.ts";

/** Heads that PEFT trains whole beside any method, by task (peft_model.py, PeftModelFor…). */
const taskHeads: Readonly<Record<string, readonly string[]>> = {
  SEQ_CLS: ["classifier", "score"],
  TOKEN_CLS: ["classifier", "score"],
  QUESTION_ANS: ["qa_outputs"],
};

/**
 * A config as PEFT has it once its adapter is made: default targets named, "all-linear" as the modules
 * that it means, the task's heads in modules_to_save.
 */
export function completedConfig<C extends TunerConfig>(
  given: AdapterConfig,
  base: MethodBase,
  method: TunerMethod<C>,
): AdapterConfig {
  const withHeads = withTaskHeads(given);
  const targets = given.raw["target_modules"] ?? null;
  if (targets === null) {
    const usual = method.defaultTargets(base.modelType);
    return usual === null ? withHeads : withFields(withHeads, { target_modules: usual });
  }
  const isMany = Array.isArray(targets) && targets.length >= shortenedFrom;
  if (targets !== "all-linear" && !(isMany && method.peftType !== "IA3")) return withHeads;
  const paths = method.plan(withHeads, base).targets.map(({ module }) => module.path);
  const names = isMany ? targets.map(String) : paths;
  return withFields(withHeads, { target_modules: shortened(names, { paths, base }) });
}

/** The config with the heads of its task in modules_to_save. */
export function withTaskHeads(given: AdapterConfig): AdapterConfig {
  const saved = given.raw["modules_to_save"];
  const own = Array.isArray(saved) ? saved.map(String) : [];
  const heads = (taskHeads[given.taskType ?? ""] ?? []).filter((name) => !own.includes(name));
  return heads.length > 0 ? withFields(given, { modules_to_save: [...own, ...heads] }) : given;
}

/** From so many names on PEFT looks for fewer that choose the same modules. */
const shortenedFrom = 20;

function shortened(
  names: readonly string[],
  { paths, base }: { paths: readonly string[]; base: MethodBase },
): readonly string[] {
  if (names.length < shortenedFrom) return names;
  const targeted = new Set(paths);
  const others = base.tree.modules.flatMap(({ path }) => {
    const parents = path.split(".").map((_, i, parts) => parts.slice(0, i).join("."));
    return [...parents.slice(1), ...(targeted.has(path) ? [] : [path])];
  });
  const fewer = fewestNames(names, others);
  return fewer.length < names.length ? fewer : names;
}

/** Ends of names by which they differ from others (PEFT tuners_utils.py, _find_minimal_target_modules). */
export function fewestNames(names: readonly string[], others: readonly string[]): string[] {
  const foreign = new Set(others.flatMap(endsOf));
  const items = [...new Set(names)].map((name) => ({ name, ends: endsOf(name) }));
  items.sort((a, b) => compared(a.ends, b.ends));
  const chosen = new Set<string>();
  for (const { name, ends } of items) {
    if ([...chosen].some((end) => name.endsWith(`.${end}`))) continue;
    const end = ends.find((each) => !chosen.has(each) && !foreign.has(each));
    if (end !== undefined) chosen.add(end);
  }
  return chosen.size === 0 ? [...names] : [...chosen];
}

/** "b.c", "a.b.c" of "a.b.c" after "c": shortest first. */
function endsOf(name: string): string[] {
  const parts = name.split(".");
  return parts.map((_, i) => parts.slice(parts.length - 1 - i).join("."));
}

function compared(a: readonly string[], b: readonly string[]): number {
  const at = a.findIndex((end, i) => end !== b[i]);
  if (at === -1) return a.length - b.length;
  const [own, other] = [a[at] as string, b[at]];
  return other === undefined || own > other ? 1 : -1;
}

/** The config with some fields changed, everything else as it was spelled. */
export function withFields(
  config: AdapterConfig,
  fields: Readonly<Record<string, unknown>>,
): AdapterConfig {
  const formattingOptions = { insertSpaces: true, tabSize: 2 };
  let { text } = config;
  for (const [name, value] of Object.entries(fields)) {
    text = applyEdits(text, modify(text, [name], value, { formattingOptions }));
  }
  return text === config.text ? config : parseAdapterConfig(text, config.file);
}
