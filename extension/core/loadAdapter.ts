import { t } from "@vscode/l10n";
import { badRequest } from "./base/errors.ts";
import type { JsonObject } from "./base/json.ts";
import type { BaseModel } from "./baseModel.ts";
import { proveBind } from "./bindReport.ts";
import { type AdapterCheckpoint, openAdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import { adapterFolders, type HubPlace } from "./checkpoint/findAdapter.ts";
import { methodOf } from "./peft/index.ts";
import type { BindReport, LoadedWeights } from "./peft/method.ts";
import { adapterTokenizer } from "./tokens/adapterTokenizer.ts";
import type { Tokenizer } from "./tokens/tokenizer.ts";
import { type WorkingWeight, workingWeights } from "./workingWeights.ts";

/** PEFT's arguments of from_pretrained and load_adapter, with PEFT's meaning (docs/loading.md). */
export interface LoadAdapterOptions extends WithoutEffect, HubPlace {
  /** Name under which the adapter is known; PEFT's default is "default". */
  readonly adapterName?: string;
  /** Load to train on: its parameters count as trainable, and fp32 copies of its tensors are kept. */
  readonly isTrainable?: boolean;
  /** Used in place of adapter_config.json: the fields as PEFT spells them, or a folder that has one. */
  readonly config?: JsonObject | string;
  /** Python pattern → replacement for tensor names without `base_model.model.`; the first hit counts. */
  readonly keyMapping?: Readonly<Record<string, string>>;
  /** Leave out tensors of another shape than the base wants, with a warning, instead of refusing. */
  readonly ignoreMismatchedSizes?: boolean;
  /** Load although some modules or tensors find no place; without it such a load throws partial-bind. */
  readonly allowPartial?: boolean;
  /** PEFT's older name of `token`. */
  readonly useAuthToken?: string | boolean;
}

/** What PEFT takes and what means nothing here: accepted, so that calls can be carried over. */
interface WithoutEffect {
  /** Graft computes in fp32 whatever the file holds, and saves the file's own bytes. */
  readonly autocastAdapterDtype?: boolean;
  readonly lowCpuMemUsage?: boolean;
  readonly ephemeralGpuOffload?: boolean;
  readonly torchDevice?: string;
  /** safetensors wins over .bin, as in PEFT. */
  readonly useSafetensors?: boolean;
  readonly deviceMap?: unknown;
  readonly maxMemory?: unknown;
  readonly offloadFolder?: string;
  readonly offloadDir?: string;
  readonly offloadIndex?: unknown;
}

/** An adapter in memory. */
export interface LoadedAdapter {
  readonly name: string;
  readonly checkpoint: AdapterCheckpoint;
  readonly weights: LoadedWeights;
  readonly report: BindReport;
  /** Of an adapter to train on: its tensors in fp32, by their names in the file; else null. */
  readonly working: ReadonlyMap<string, WorkingWeight> | null;
  /** The tokenizer that came with it, or null: then the base's counts. */
  readonly tokenizer: Tokenizer | null;
  readonly attachSeconds: number;
  readonly warnings: readonly string[];
}

/** What PEFT calls prompt learning, which it does not load to train on. */
const promptMethods = new Set([
  "PROMPT_TUNING",
  "MULTITASK_PROMPT_TUNING",
  "P_TUNING",
  "PREFIX_TUNING",
  "CPT",
  "CARTRIDGE",
]);

/** Initialisations that PEFT takes out of the base itself, for every adapter on it. */
const changesBase = ["pissa", "olora", "corda"];

/** PEFT warns of an adapter beside others when one of them has changed the base. */
function besideWarnings({ config }: AdapterCheckpoint, others: readonly LoadedAdapter[]): string[] {
  const inits = [config, ...others.map(({ checkpoint }) => checkpoint.config)].map(({ raw }) =>
    String(raw["init_lora_weights"]),
  );
  const init = changesBase.find((each) => inits.includes(each));
  if (others.length === 0 || init === undefined) return [];
  return [
    t(
      "A raw {0} adapter takes its part out of the base: in PEFT for all adapters that are loaded, here for itself alone. Convert it to plain LoRA to have the same in both.",
      init,
    ),
  ];
}

/**
 * Reads an adapter and binds it to a base; the session is not touched.
 * @param options `others`: what is loaded on the base already
 * @param modelId a folder, or the id of a repository on the Hub, downloaded where it is not here
 * @throws misfit when no module is bound or shapes disagree; partial-bind when only some are
 */
export async function readAdapter(
  base: BaseModel,
  modelId: string,
  { others = [], ...options }: LoadAdapterOptions & { others?: readonly LoadedAdapter[] },
): Promise<Omit<LoadedAdapter, "attachSeconds">> {
  const { adapterName: name = "default", isTrainable = false, onProgress, signal } = options;
  onProgress?.({ step: t("Reading the adapter") });
  const token = options.token ?? options.useAuthToken;
  const { folder, root } = await adapterFolders(modelId, { ...options, token });
  const { config, keyMapping, ignoreMismatchedSizes } = options;
  const reading = { config, keyMapping, ignoreMismatchedSizes, adapterName: name };
  const checkpoint = await openAdapterCheckpoint(folder, signal, reading);
  const { peftType, file } = checkpoint.config;
  if (isTrainable && promptMethods.has(peftType)) {
    throw badRequest(
      t("{0}: {1} adapters cannot be loaded to train on, as in PEFT.", file, peftType),
    );
  }
  const method = methodOf(checkpoint.config);
  const report = method.bind(checkpoint, base.adaptable);
  // Whoever agrees to leave out tensors of another shape has agreed to a partial bind.
  const { allowPartial = ignoreMismatchedSizes ?? false } = options;
  const warnings = proveBind(checkpoint, report, { method, base: base.adaptable, allowPartial });
  const weights = await method.load(checkpoint, base.adaptable, signal);
  const own = await adapterTokenizer([checkpoint.dir, root], base.tokenizer);
  return {
    name,
    checkpoint,
    weights,
    report,
    working: isTrainable ? await workingWeights(checkpoint, signal) : null,
    tokenizer: own.tokenizer,
    warnings: [
      ...warnings,
      ...weights.warnings,
      ...own.warnings,
      ...besideWarnings(checkpoint, others),
    ],
  };
}
