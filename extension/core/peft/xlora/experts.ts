/**
 * The experts of an X-LoRA adapter: plain LoRA adapters, found on this machine and bound to the base.
 */
import { t } from "@vscode/l10n";
import { badFile, misfit, notFound, unsupported } from "../../base/errors.ts";
import {
  type AdapterCheckpoint,
  type Expert,
  plainTensorName,
} from "../../checkpoint/adapterCheckpoint.ts";
import type { ModuleInfo } from "../../checkpoint/modules.ts";
import type { TensorEntry } from "../../safetensors/header.ts";
import { readFloat32 } from "../../safetensors/read.ts";
import type { AdapterEffects } from "../effect.ts";
import { lora } from "../lora.ts";
import type { BindReport, MethodBase } from "../method.ts";

/** An expert in the folder that was chosen for it. */
export interface ChosenExpert {
  readonly name: string;
  readonly adapter: AdapterCheckpoint;
  /** Weights of the base that were saved beside its tensors. */
  readonly frozen: readonly TensorEntry[];
  /** True for a folder that PEFT wrote for an expert of a loaded X-LoRA. */
  readonly isWhole: boolean;
}

export interface BoundExpert extends ChosenExpert {
  readonly report: BindReport;
}

/** Where the experts' tensors lie in a folder that PEFT wrote for an expert of a loaded X-LoRA. */
const savedPrefix = /^base_model\.lora_model\.model\./;

/**
 * An expert's own tensors under a LoRA adapter's names. PEFT writes the whole model into an expert's
 * folder; that part is left out.
 */
function plainExpert(name: string, adapter: AdapterCheckpoint): ChosenExpert {
  const { weights } = adapter;
  const isWhole = weights.tensors.some((entry) => savedPrefix.test(entry.name));
  const all = weights.tensors.map((entry) => ({
    ...entry,
    name: entry.name.replace(savedPrefix, "base_model.model."),
  }));
  const tensors = all.filter(
    (entry) => !isFrozen(entry.name) && (!isWhole || /\.lora_/.test(entry.name)),
  );
  const updated = new Set(tensors.map((entry) => modulePath(entry.name)));
  // What PEFT saved of embeddings, not what it saved of every layer with a whole model.
  const frozen = all.filter(
    (entry) => isFrozen(entry.name) && !isWhole && updated.has(modulePath(entry.name)),
  );
  return { name, adapter: { ...adapter, weights: { ...weights, tensors } }, frozen, isWhole };
}

function modulePath(name: string): string {
  return name.replace(/\.(base_layer|lora_)[^]*$/, "");
}

/** A weight of the base that PEFT saves beside an update of it. */
function isFrozen(name: string): boolean {
  return name.endsWith(".base_layer.weight");
}

/**
 * Compares the base's weights that an expert was saved with to the base's own.
 * @throws misfit where they differ: every expert would have a base of its own
 */
export async function checkFrozen(
  { frozen, adapter: { weights } }: ChosenExpert,
  base: MethodBase,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const entry of frozen) {
    const name = plainTensorName(entry.name).replace(".base_layer.", ".");
    const theirs = (await readFloat32(weights.file, [entry], signal)).get(entry.name);
    const own = await base.readTensor(name, signal);
    const isSame =
      own?.length === theirs?.length && own?.every((value, i) => value === theirs?.[i]);
    if (isSame) continue;
    throw misfit(t('{0}: tensor "{1}" is not the one of this base.', weights.file, entry.name), {
      file: weights.file,
      tensor: entry.name,
    });
  }
}

/** The folder of each expert that tells most, without a base. @throws not-found, unsupported */
export function chooseExperts({ experts = [], ...adapter }: AdapterCheckpoint): ChosenExpert[] {
  return experts.map((expert) => {
    const tensors = (each: ChosenExpert): number => each.adapter.weights.tensors.length;
    return candidates(expert, adapter).reduce((x, y) => (tensors(y) > tensors(x) ? y : x));
  });
}

/**
 * The first folder of each expert that has all its tensors.
 * @throws not-found where there is none, bad-file where PEFT left tensors out of all
 */
export function bindExperts(
  { experts = [], ...adapter }: AdapterCheckpoint,
  base: MethodBase,
): BoundExpert[] {
  return experts.map((expert) => {
    const bound = candidates(expert, adapter).map((each) => ({
      ...each,
      report: lora.bind(each.adapter, base),
    }));
    const best = bound.reduce((x, y) => (missing(y) < missing(x) ? y : x));
    checkHead(best, base);
    if (missing(best) === 0 || !best.isWhole) return best;
    throw badFile(
      best.adapter.weights.file,
      t(
        "lacks {0} of {1} modules of expert \"{2}\". PEFT 0.21 leaves out of an expert's folder the layers whose number is another expert's name",
        missing(best),
        best.report.total,
        expert.name,
      ),
      t('Put the adapter that the expert was made from ("{0}") into that folder.', expert.source),
    );
  });
}

function missing({ report }: BoundExpert): number {
  return report.unbound.length;
}

/** All layers that experts change, in the order in which PEFT counts them: the model's own. */
export function expertLayers(experts: readonly BoundExpert[], base: MethodBase): ModuleInfo[] {
  const targeted = new Set(
    experts.flatMap(({ report: { bound, unbound } }) => [...bound, ...unbound]),
  );
  return base.tree.modules.filter(({ path }) => targeted.has(path));
}

function candidates(
  { name, source, found, problems }: Expert,
  { dir, config }: Pick<AdapterCheckpoint, "dir" | "config">,
): [ChosenExpert, ...ChosenExpert[]] {
  const [first, ...rest] = found.map((each) => {
    checkPlain(each);
    return plainExpert(name, each);
  });
  if (first) return [first, ...rest];
  const [problem] = problems;
  if (problem !== undefined)
    throw badFile(config.file, t('expert "{0}" cannot be read', name), problem);
  throw notFound(
    t('Expert "{0}" of {1}', name, config.file),
    source,
    t(
      'Put its folder into {0} under the name "{1}", or correct its path in the config.',
      dir,
      name,
    ),
  );
}

/** Options of LoRA that change what X-LoRA would have to weigh; PEFT refuses or ignores them. */
const notPlain = [
  "use_dora",
  "modules_to_save",
  "trainable_token_indices",
  "target_parameters",
  "layer_replication",
  "alora_invocation_tokens",
  "arrow_config",
  "kasa_config",
  "use_qalora",
];

function checkPlain({ config }: AdapterCheckpoint): void {
  const { file, raw, peftType } = config;
  if (peftType !== lora.peftType) {
    throw unsupported(t("{0}: an expert of X-LoRA must be LoRA, this one is {1}", file, peftType));
  }
  lora.check(config);
  const init = raw["init_lora_weights"];
  const isSet = (value: unknown): boolean =>
    Array.isArray(value) ? value.length > 0 : Boolean(value);
  const option =
    notPlain.find((field) => isSet(raw[field])) ??
    (init === "pissa" || init === "olora" ? t('init_lora_weights "{0}"', init) : undefined);
  if (option === undefined) return;
  throw unsupported(
    t("{0}: an expert of X-LoRA must be plain LoRA, this one has {1}", file, option),
  );
}

function checkHead({ adapter, report }: BoundExpert, { tree }: MethodBase): void {
  const head = tree.outputEmbedding;
  if (head === null || ![...report.bound, ...report.unbound].includes(head)) return;
  throw unsupported(
    t(
      "{0}: X-LoRA does not weigh experts on {1}, where PEFT refuses to load them",
      adapter.config.file,
      head,
    ),
  );
}

/** @throws unsupported when an expert does more than a low-rank update and its bias */
export function checkEffects(
  { adapter }: ChosenExpert,
  { linear, embeddings, ...rest }: AdapterEffects,
): void {
  const other = Object.entries(rest).find(([, part]) => part !== undefined && !isEmpty(part))?.[0];
  const hasBias = adapter.config.raw["lora_bias"] === true;
  const parts = [...linear.values()].flatMap((effect) => Object.keys(effect));
  const strange =
    other ?? parts.find((part) => part !== "lowRank" && !(part === "shift" && hasBias));
  if (strange !== undefined) {
    throw unsupported(
      t(
        "{0}: an expert of X-LoRA must be plain LoRA, this one also changes the base's own values ({1})",
        adapter.config.file,
        strange,
      ),
    );
  }
  if ([...(embeddings?.values() ?? [])].some(({ rows }) => rows !== undefined)) {
    throw misfit(
      t("{0}: an expert of X-LoRA cannot add tokens to the vocabulary.", adapter.config.file),
    );
  }
}

function isEmpty(part: unknown): boolean {
  return (part instanceof Map || part instanceof Set) && part.size === 0;
}
