/** A LoRA from disk whose factors are changed one by one, all else staying as it came. */
import { t } from "@vscode/l10n";
import { applyEdits, modify } from "jsonc-parser";
import { unsupported } from "../../base/errors.ts";
import { type JsonObject, parseFields } from "../../base/json.ts";
import { type AdapterCheckpoint, plainTensorName } from "../../checkpoint/adapterCheckpoint.ts";
import { methodLabels } from "../../checkpoint/adapterConfig.ts";
import { readTensors } from "../../safetensors/read.ts";
import type { TensorData } from "../../safetensors/write.ts";
import { type LoraSource, type Part, partsOf, suffixes } from "../combine/loraParts.ts";
import { openSource } from "../combine/source.ts";
import { checkLoraConfig, type LoraConfig, loraSchema } from "../loraConfig.ts";
import { tensor } from "./converted.ts";

/** A module's factors and, with `lora_bias`, its bias; scaling is not in them. */
export interface LoraModule extends Omit<Part, "weight"> {
  readonly path: string;
  readonly kind: keyof typeof suffixes;
  /** [out], null without `lora_bias`. */
  readonly bias: Float32Array | null;
}

/** A LoRA with its values in memory. */
export interface LoraAdapter {
  readonly checkpoint: AdapterCheckpoint;
  readonly config: LoraConfig;
  readonly modules: readonly LoraModule[];
  /** Every other tensor as it is stored: magnitudes, modules_to_save, token rows. */
  readonly others: readonly TensorData[];
}

const biasSuffix = "lora_B.bias";

/** @throws unsupported when the adapter is no LoRA, or one of these options is on */
export async function openLora(
  checkpoint: AdapterCheckpoint,
  { refused = [], signal }: { refused?: readonly Refusal[]; signal?: AbortSignal | undefined },
): Promise<LoraAdapter> {
  const { config: file, weights } = checkpoint;
  if (file.peftType !== "LORA") {
    const label = methodLabels[file.peftType] ?? file.peftType;
    throw unsupported(
      t("{0}: this conversion is for LoRA, the adapter is {1}", file.file, label),
      t("Convert it to LoRA first."),
    );
  }
  const config = parseFields(loraSchema, file.raw, file.file);
  checkLoraConfig(config, file);
  for (const { option, isOn, reason, remedy = plainFirst } of refused) {
    if (isOn(config, file.raw))
      throw unsupported(t("{0} has {1}: {2}", file.file, option, reason), remedy);
  }
  const own = [...suffixes.linear, ...suffixes.embedding, biasSuffix];
  const opened = await openSource({ name: checkpoint.dir, weight: 1, checkpoint }, own, signal);
  const source: LoraSource = { ...opened, config, file: file.file };
  const modules = [...opened.modules].map(([path, stored]): LoraModule => {
    const [{ factors, scaling }, kind] = partsOf(path, [source]);
    return { path, kind, factors, scaling, bias: stored.get(biasSuffix)?.values ?? null };
  });
  const rest = [...opened.others.values()];
  const bytes = await readTensors(weights.file, rest, signal);
  const others = rest.map(({ name, dtype, shape }, i) => ({
    name: `base_model.model.${plainTensorName(name)}`,
    dtype,
    shape,
    bytes: bytes[i] as Uint8Array,
  }));
  return { checkpoint, config, modules, others };
}

/** An option that a conversion cannot keep, and why. */
export interface Refusal {
  readonly option: string;
  isOn(config: LoraConfig, raw: JsonObject): boolean;
  readonly reason: string;
  readonly remedy?: string;
}

const plainFirst = t("Convert it to LoRA first, which makes it a plain one.");

/** Options under which a module's update is not s · B A of the stored factors alone. */
export const notPlain: readonly Refusal[] = [
  {
    option: "use_bdlora",
    isOn: ({ use_bdlora: blocks }) => blocks !== null,
    reason: t("its factors are stored as blocks"),
  },
  {
    option: "kasa_config",
    isOn: ({ kasa_config: kasa }) => kasa !== null,
    reason: t("its rank says what it replaces in the base"),
  },
  {
    option: t("init_lora_weights pissa or olora"),
    isOn: ({ init_lora_weights: init }) => init === "pissa" || init === "olora",
    reason: t("its rank says what it replaces in the base"),
  },
  {
    option: "use_qalora",
    isOn: (_, { use_qalora: isOn }) => isOn === true,
    reason: t("its factors take sums of inputs"),
  },
  {
    option: "monteclora_config",
    isOn: (_, { monteclora_config: monte }) => monte !== null && monte !== undefined,
    reason: t("its sampler belongs to its rank"),
  },
  {
    option: "target_parameters",
    isOn: (_, { target_parameters: names }) => Array.isArray(names) && names.length > 0,
    reason: t("its factors are not one matrix a module"),
    remedy: "",
  },
];

export function biasTensor({ path, factors }: LoraModule, bias: Float32Array): TensorData {
  return tensor(`${path}.${biasSuffix}`, bias, [factors.out]);
}

/** The config as it came with some fields changed. */
export function editedConfig({ config }: AdapterCheckpoint, fields: JsonObject): string {
  const formattingOptions = { insertSpaces: true, tabSize: 2 };
  return Object.entries({ ...fields, inference_mode: true }).reduce(
    (text, [field, value]) => applyEdits(text, modify(text, [field], value, { formattingOptions })),
    config.text,
  );
}
