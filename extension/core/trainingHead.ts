/** What a new adapter's config lacks for its base, and what a head begins with that nobody has trained. */
import { t } from "@vscode/l10n";
import { torchGenerator } from "./base/torchRandom.ts";
import { elementCount } from "./base/shape.ts";
import type { AdapterConfig } from "./checkpoint/adapterConfig.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import type { MethodBase } from "./peft/method.ts";
import { withFields } from "./peft/trainable/completedConfig.ts";
import { peftPrefix, promptPrefix } from "./peft/trainable/parameters.ts";
import type { ParameterValues } from "./peft/trainable/trainable.ts";
import { isSaved } from "./peft/tuner/wholeParameters.ts";

/** PEFT's names of heads that it trains whole for a task (peft_model.py). */
const usualHeads = ["classifier", "score"];

/**
 * The config with all of the head's layers that the base lacks in modules_to_save: transformers draws
 * them anew at every load, so that what an adapter learned on top of them would be lost (a pooler).
 */
export function withHeadSaved(
  config: AdapterConfig,
  { empty = new Map(), name }: BaseCheckpoint,
): { config: AdapterConfig; warnings: readonly string[] } {
  const own = config.raw["modules_to_save"];
  const saved = Array.isArray(own) ? own.map(String) : [];
  const modules_to_save = [...saved, ...(config.taskType === null ? [] : usualHeads)];
  const paths = [...empty.keys()].map((tensor) => tensor.replace(/\.(weight|bias)$/, ""));
  const lacking = [...new Set(paths)].filter((path) => !isSaved(path, { modules_to_save }));
  if (lacking.length === 0) return { config, warnings: [] };
  const warning = t(
    "{0} has no weights for {1}: they begin at random, are trained whole and saved with the adapter (modules_to_save).",
    name,
    lacking.join(", "),
  );
  return {
    config: withFields(config, { modules_to_save: [...saved, ...lacking] }),
    warnings: [warning],
  };
}

/** The config with the task type of models with encoder and decoder, where the base is one. */
export function withOwnTask(
  config: AdapterConfig,
  { hasEncoder = false }: Pick<MethodBase, "hasEncoder">,
): { config: AdapterConfig; warnings: readonly string[] } {
  if (!hasEncoder || config.taskType !== "CAUSAL_LM") return { config, warnings: [] };
  const warning = t(
    "The base has an encoder and a decoder: the adapter's task_type is SEQ_2_SEQ_LM instead of CAUSAL_LM.",
  );
  return { config: withFields(config, { task_type: "SEQ_2_SEQ_LM" }), warnings: [warning] };
}

/** The values with a head's as transformers draws them: normal weights, no bias. */
export function withDrawnHead(
  values: ParameterValues,
  { empty = new Map(), config }: BaseCheckpoint,
  seed: number,
): ParameterValues {
  const range = config.raw["initializer_range"];
  const deviation = typeof range === "number" ? range : 0.02;
  const random = torchGenerator(seed);
  const drawn = new Map(values);
  for (const [name, shape] of empty) {
    const own = [peftPrefix, promptPrefix].map((prefix) => `${prefix}${name}`);
    const parameter = own.find((each) => drawn.has(each));
    if (parameter === undefined || !name.endsWith(".weight")) continue;
    drawn.set(parameter, random.normal(elementCount(shape), 0, deviation));
  }
  return drawn;
}
