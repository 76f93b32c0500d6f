/**
 * What LoRA's initialisations by data find out before the first step: EVA and CorDA from what layers
 * read, LoRA-GA from the loss's gradients. The texts are the run's own, in the order of its first epoch.
 */
import { t } from "@vscode/l10n";
import { unsupported } from "../../base/errors.ts";
import { parseFields } from "../../base/json.ts";
import type { OnProgress } from "../../base/progress.ts";
import type { AdapterConfig } from "../../checkpoint/adapterConfig.ts";
import type { BaseCheckpoint } from "../../checkpoint/baseCheckpoint.ts";
import { buildModel } from "../../models/index.ts";
import { type LoraConfig, loraScale, loraSchema } from "../../peft/loraConfig.ts";
import {
  preparationConfig,
  preparationLabels,
  type PreparationName,
} from "../../peft/loraPreparations.ts";
import { namesSome } from "../../peft/names.ts";
import { withFields } from "../../peft/trainable/completedConfig.ts";
import { peftPrefix } from "../../peft/trainable/parameters.ts";
import type { BeginningData, TrainableAdapter } from "../../peft/trainable/trainable.ts";
import type { SessionOptions } from "../../session/ortSession.ts";
import type { Split } from "../data/batch.ts";
import type { LossKind } from "../losses.ts";
import type { TrainingOptions } from "../options.ts";
import { epochPlan } from "../plan.ts";
import { cordaTexts, Covariances } from "./covariances.ts";
import { evaDirections } from "./eva.ts";
import { type ModelMaker, observeInputs } from "./layerInputs.ts";
import { WeightGradients, type WeightedLayer } from "./weightGradients.ts";

/** Texts that initialisations begin with, and how a run goes through them. */
export interface BeginningTexts {
  readonly train: Split;
  readonly options: TrainingOptions;
}

export interface PreparationRequest {
  readonly name: Exclude<PreparationName, "loftq">;
  readonly checkpoint: BaseCheckpoint;
  /** As its config has it before anything was found out. */
  readonly adapter: TrainableAdapter;
  readonly texts: BeginningTexts;
  readonly loss: LossKind;
  readonly session?: SessionOptions | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PreparedBeginning {
  /** With the ranks that EVA gave. */
  readonly config: AdapterConfig;
  readonly data: BeginningData;
  readonly warnings: readonly string[];
}

export async function prepareBeginning(request: PreparationRequest): Promise<PreparedBeginning> {
  const { name, checkpoint, adapter } = request;
  const layers = targetedLayers(adapter);
  const build: ModelMaker = (hook) => buildModel(checkpoint, hook, adapter.layers);
  const at = { ...request, layers, build };
  switch (name) {
    case "eva":
      return prepareEva(at);
    case "corda":
      return prepareCorda(at);
    case "lora_ga":
      return prepareLoraGa(at);
  }
}

type Request = PreparationRequest & { layers: readonly WeightedLayer[]; build: ModelMaker };

/** Linear layers with factors of their own; what else is targeted begins as usual. */
function targetedLayers({ parameters }: TrainableAdapter): WeightedLayer[] {
  const shapes = new Map(parameters.map(({ name, shape }) => [name, shape]));
  return parameters.flatMap(({ name, shape }) => {
    const path = /^base_model\.model\.(.+)\.lora_A\.weight$/.exec(name)?.[1];
    if (path === undefined || shape.length !== 2) return [];
    const out = shapes.get(`${peftPrefix}${path}.lora_B.weight`)?.[0] ?? 0;
    return [{ path, shape: [out, shape[1] as number] }];
  });
}

async function prepareEva(request: Request): Promise<PreparedBeginning> {
  const { adapter, layers, build, texts, checkpoint, session, onProgress, signal } = request;
  const { config } = adapter;
  const lora: LoraConfig = parseFields(loraSchema, config.raw, config.file);
  const own = preparationConfig("eva", config);
  const ranked = layers.map(({ path }) => ({
    path,
    rank: loraScale(lora, path, config.file).rank,
  }));
  const sizes = [...checkpoint.weights.values()].flatMap(({ shape }) => shape);
  const { directions, warnings } = await evaDirections(
    observeInputs(build, new Set(layers.map(({ path }) => path))),
    {
      ...{ config: own, layers: ranked, r: lora.r, widest: Math.max(...sizes), file: config.file },
      ...{ plan: epochPlan(texts.train, 0, texts.options), session, onProgress, signal },
    },
  );
  const ranks = new Map([...directions].map(([path, { rank }]) => [path, rank]));
  const missing = otherModules(adapter).filter((path) => !ranks.has(path));
  const fields = fieldsWithRanks(lora, {
    ranks,
    missing,
    adjusts: own.adjust_scaling_factors,
    config,
  });
  return {
    config: withFields(config, fields),
    data: { ...nothing, factors: (path) => directions.get(path) ?? null },
    warnings: missing.length === 0 ? warnings : [...warnings, begunAsUsual("EVA", missing)],
  };
}

/** PEFT's _load_eva_state_dict: ranks and alphas by full names; layers that got no rank are no targets. */
function fieldsWithRanks(
  lora: LoraConfig,
  at: {
    ranks: ReadonlyMap<string, number>;
    missing: readonly string[];
    adjusts: boolean;
    config: AdapterConfig;
  },
): Record<string, unknown> {
  const { ranks, missing, adjusts, config } = at;
  const rankPattern: Record<string, number> = {};
  const alphaPattern: Record<string, number> = {};
  const all = [...ranks, ...missing.map((path) => [path, null] as const)];
  for (const [path, found] of all) {
    const given = loraScale(lora, path, config.file);
    const rank = found ?? given.rank;
    if (rank === 0) continue;
    const grows = adjusts && rank !== given.rank;
    const alpha = grows ? given.alpha * (rank / given.rank) : given.alpha;
    if (rank !== lora.r) rankPattern[path] = rank;
    if (alpha !== lora.lora_alpha) alphaPattern[path] = alpha;
  }
  const kept = [...ranks].flatMap(([path, rank]) => (rank > 0 ? [path] : []));
  return {
    rank_pattern: rankPattern,
    alpha_pattern: alphaPattern,
    ...(kept.length < ranks.size && { target_modules: [...kept, ...missing] }),
  };
}

function prepareCorda({ layers, build, texts, ...request }: Request): PreparedBeginning {
  const { adapter, session, onProgress, signal } = request;
  const { options, train } = texts;
  const plan = epochPlan(train, 0, { ...options, batchSize: 1, groupByLength: false });
  const observed = observeInputs(build, new Set(layers.map(({ path }) => path)));
  const covariances = new Covariances(observed, { plan, session, onProgress, signal });
  const count = Math.min(plan.batches, cordaTexts);
  const tokens = train.lengths.reduce((sum, length) => sum + length, 0);
  const widest = Math.max(...observed.inputs.map(({ size }) => size));
  const isFew = (tokens * count) / Math.max(1, train.count) < widest;
  return {
    config: adapter.config,
    data: { ...nothing, covariance: (path) => covariances.of(path) },
    warnings: [
      ...(isFew
        ? [
            t(
              "CorDA: {0} texts have fewer tokens than layers have inputs ({1}), so that some directions are decided by no data.",
              count,
              widest,
            ),
          ]
        : []),
      ...usualWarnings("CorDA", adapter),
    ],
  };
}

function prepareLoraGa({ layers, build, texts, ...request }: Request): PreparedBeginning {
  const { adapter, checkpoint, loss, session, onProgress, signal } = request;
  if (checkpoint.packed && checkpoint.packed.size > 0) {
    throw unsupported(
      t(
        "LoRA-GA asks for gradients of the weights, which a quantized base does not give, as in PEFT",
      ),
      t("Train on the base as it is, or choose another init_lora_weights."),
    );
  }
  const { options, train } = texts;
  const plan = epochPlan(train, 0, options);
  const { batchSize } = options;
  const gradients = new WeightGradients(layers, {
    ...{ build, loss, plan, batchSize, session, onProgress, signal },
  });
  return {
    config: adapter.config,
    data: { ...nothing, gradient: (path) => gradients.of(path) },
    warnings: usualWarnings("LoRA-GA", adapter),
  };
}

const nothing: BeginningData = {
  factors: () => null,
  covariance: (path) => Promise.reject(new Error(`no covariance of ${path} is known`)),
  gradient: (path) => Promise.reject(new Error(`no gradient of ${path} is known`)),
};

/** Tables that are targeted beside linear layers. */
function otherModules({ parameters }: TrainableAdapter): string[] {
  return parameters.flatMap(
    ({ name }) => /^base_model\.model\.(.+)\.lora_embedding_A$/.exec(name)?.[1] ?? [],
  );
}

function usualWarnings(method: string, adapter: TrainableAdapter): string[] {
  const others = otherModules(adapter);
  return others.length === 0 ? [] : [begunAsUsual(method, others)];
}

function begunAsUsual(method: string, paths: readonly string[]): string {
  return t("{0} is for linear layers: {1} begin as usual.", method, namesSome(paths));
}

/** What is said where there is no data. */
export function withoutData(name: PreparationName): string {
  return t(
    "{0} began without its data, as a new adapter begins without it.",
    preparationLabels[name],
  );
}
