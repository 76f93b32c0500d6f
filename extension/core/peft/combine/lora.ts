/**
 * LoRA adapters combined as PEFT's add_weighted_adapter does (tuners/lora/model.py), w the weight and
 * s the scaling of each adapter:
 *
 *     linear, ties, dare_*, magnitude_prune   A = mix(A_i, ±√|w s|), B = mix(B_i, √|w s|), sign on A:
 *                                             not the sum of the updates
 *     cat                                     A = w s A_i one below the other, B = B_i: the exact sum
 *     svd, *_svd                              mix(s B_i A_i, w), cut to a rank
 *
 * The new adapter's scaling is 1, or √r where the first one's config says use_rslora.
 */
import { t } from "@vscode/l10n";
import { badRequest, misfit, unsupported } from "../../base/errors.ts";
import { parseFields } from "../../base/json.ts";
import { pause } from "../../base/pause.ts";
import { torchGenerator } from "../../base/torchRandom.ts";
import { resolveTargets } from "../../checkpoint/targets.ts";
import type { TensorData } from "../../safetensors/write.ts";
import { checkLoraConfig, type LoraConfig, loraSchema } from "../loraConfig.ts";
import { freshMagnitude } from "./magnitudes.ts";
import { combineModule, isSvd, mixingOf, skipInitialDraws } from "./loraModule.ts";
import { type LoraSource, suffixes } from "./loraParts.ts";
import { type CombinationType, type CombineOptions, readOptions } from "./options.ts";
import {
  changedConfig,
  type CombineBase,
  type CombinedAdapter,
  type CombineSource,
  joinedTargets,
  openSource,
  wholeTensors,
} from "./source.ts";

/** @throws bad-request, unsupported or misfit where PEFT refuses, or would lose something in silence */
export async function combineLora(
  given: readonly CombineSource[],
  options: CombineOptions,
  base?: CombineBase,
): Promise<CombinedAdapter> {
  const own: string[] = [...suffixes.linear, ...suffixes.embedding, "lora_B.bias", magnitude];
  const sources: LoraSource[] = [];
  for (const source of given) {
    const { config } = source.checkpoint;
    const fields = parseFields(loraSchema, config.raw, config.file);
    checkLoraConfig(fields, config);
    checkCombinable(fields, source);
    const opened = await openSource(source, own, options.signal);
    sources.push({ ...opened, config: fields, file: config.file });
  }
  const [first] = sources as [LoraSource];
  const type = sources.length === 1 ? "linear" : (options.combinationType ?? "svd");
  const settled = readOptions(type, options);
  const rank = newRank(sources, type, settled.svdRank);
  const plan = { type, rank, options: settled, generator: torchGenerator(settled.seed) };
  const targets = joinedTargets(sources, "target_modules");
  const { tensors: whole, warnings } = await wholeTensors(sources, {
    base,
    signal: options.signal,
  });
  const paths = targetedPaths(sources, targets, { type, base });
  if (mixingOf(type).prune === "random") skipInitialDraws(paths, sources, plan);
  const tensors: TensorData[] = [];
  for (const [done, path] of paths.entries()) {
    options.onProgress?.({
      step: t("Combining modules"),
      done,
      total: paths.length,
      unit: "items",
    });
    await pause(options.signal);
    tensors.push(...combineModule(path, sources, plan));
    if (first.config.use_dora) tensors.push(await freshMagnitude(path, base, options.signal));
  }
  return {
    tensors: [...tensors, ...whole],
    configText: changedConfig(sources, {
      r: rank,
      lora_alpha: rank,
      target_modules: targets,
      rank_pattern: {},
      alpha_pattern: {},
    }),
    warnings: [...warnings, ...lossWarnings(sources)],
  };
}

const magnitude = "lora_magnitude_vector";

/** What PEFT's combination drops in silence. */
function lossWarnings(sources: readonly LoraSource[]): string[] {
  const [first] = sources as [LoraSource];
  const trained = sources.filter(({ config }) => config.use_dora).map(({ name }) => `"${name}"`);
  const own = first.config.use_dora
    ? t("the new ones are the base's")
    : t("the new adapter has none");
  return [
    ...(first.config.lora_bias
      ? [t("Biases of the updates (lora_bias) are not combined; the new ones are 0.")]
      : []),
    ...(trained.length > 0
      ? [
          t(
            "Trained magnitudes (DoRA) of {0} are dropped, as in PEFT; {1}. Active together, the adapters keep them.",
            trained.join(", "),
            own,
          ),
        ]
      : []),
  ];
}

/** Options whose tensors a combination of factors would lose or contradict. */
function checkCombinable(config: LoraConfig, { name, checkpoint }: CombineSource): void {
  const refused: [isOn: boolean, option: string, reason: string][] = [
    [
      config.use_dora && config.init_lora_weights === false,
      t("use_dora with init_lora_weights = false"),
      t("PEFT would draw the new magnitudes at random"),
    ],
    [config.use_bdlora !== null, "use_bdlora", t("its factors are blocks")],
    [
      config.target_parameters.length > 0,
      "target_parameters",
      t("PEFT does not combine updates of parameters"),
    ],
    [
      checkpoint.weights.tensors.some((entry) => /\.experts\.\d+\./.test(entry.name)),
      t("factors for single experts"),
      t("PEFT makes them updates of parameters, which it does not combine"),
    ],
    [config.kasa_config !== null, "kasa_config", t("it replaces a part of the base")],
    [
      config.bias !== "none",
      `bias = "${config.bias}"`,
      t("PEFT allows only one adapter with biases"),
    ],
    [
      config.trainable_token_indices !== null,
      "trainable_token_indices",
      t("its rows would be lost"),
    ],
    [
      ["pissa", "olora"].includes(String(config.init_lora_weights)),
      `init_lora_weights = "${config.init_lora_weights}"`,
      t("it replaces a part of the base"),
    ],
  ];
  const [, option, reason] = refused.find(([isOn]) => isOn) ?? [];
  if (option === undefined) return;
  throw unsupported(
    t(
      '"{0}" cannot be combined: {1} has {2}, and {3}',
      name,
      checkpoint.config.file,
      String(option),
      String(reason),
    ),
  );
}

function newRank(
  sources: readonly LoraSource[],
  type: CombinationType,
  svdRank: number | null,
): number {
  const ranks = sources.map(({ config }) =>
    Math.max(config.r, ...Object.values(config.rank_pattern)),
  );
  if (type === "cat") return ranks.reduce((sum, rank) => sum + rank, 0);
  if (isSvd(type)) return svdRank ?? Math.max(...ranks);
  if (new Set(ranks).size > 1) {
    const each = sources.map(({ name }, i) => `"${name}" ${ranks[i]}`).join(", ");
    throw badRequest(
      t(
        "Adapters of different rank ({0}) cannot be combined by {1}; cat and the types with svd can.",
        each,
        type,
      ),
    );
  }
  return ranks[0] as number;
}

/**
 * Modules that the new adapter has: of the base those that its config chooses, in the base's order;
 * without a base those that any file has.
 */
function targetedPaths(
  sources: readonly LoraSource[],
  targets: string | string[],
  { type, base }: { type: CombinationType; base: CombineBase | undefined },
): string[] {
  const [{ config, file }] = sources as [LoraSource];
  if (!base) {
    if (mixingOf(type).prune === "random") {
      throw badRequest(
        t("{0} draws random numbers in the order of the base's modules. Name the base.", type),
      );
    }
    return [...new Set(sources.flatMap(({ modules }) => [...modules.keys()]))].sort();
  }
  const chosen = resolveTargets(base.tree, {
    targetModules: targets,
    excludeModules: config.exclude_modules,
    layersToTransform: config.layers_to_transform,
    layersPattern: config.layers_pattern,
    modulesToSave: config.modules_to_save,
    file,
  });
  if (chosen.length > 0) return chosen.map(({ path }) => path);
  throw misfit(t("The adapters' targets name no module of the base."), { file });
}
