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
  const saved = given.raw["modules_to_save"];
  const own = Array.isArray(saved) ? saved.map(String) : [];
  const heads = (taskHeads[given.taskType ?? ""] ?? []).filter((name) => !own.includes(name));
  const withHeads = withFields(given, {
    ...(heads.length > 0 && { modules_to_save: [...own, ...heads] }),
  });
  const targets = given.raw["target_modules"] ?? null;
  if (targets === null) {
    const usual = method.defaultTargets(base.modelType);
    return usual === null ? withHeads : withFields(withHeads, { target_modules: usual });
  }
  if (targets !== "all-linear") return withHeads;
  const paths = method.plan(withHeads, base).targets.map(({ module }) => module.path);
  return withFields(withHeads, { target_modules: paths });
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
