import { t } from "@vscode/l10n";
import type { Conversion, ConvertResult } from "../protocol/writeContract.ts";
import { formatShare } from "./format.ts";

/** What an adapter can be turned into. Plain data and words; the command asks. */

export interface ConversionChoice {
  kind: Exclude<Conversion["kind"], "peft">;
  label: string;
  meaning: string;
  /** Ending of the file that is written; absent where it is a folder of PEFT's. */
  extension?: string;
  /** Added to the adapter's name for the new one. */
  suffix: string;
  needsBase: boolean;
}

const toLora: ConversionChoice = {
  kind: "lora",
  label: "LoRA",
  meaning: t("The same update as plain low-rank factors, which everything reads"),
  suffix: "lora",
  needsBase: true,
};

const ofLora: readonly ConversionChoice[] = [
  {
    kind: "resize",
    label: t("Another Rank"),
    meaning: t("The closest LoRA of a rank, or of the energy to keep"),
    suffix: "resized",
    needsBase: false,
  },
  {
    kind: "reduceIntruders",
    label: t("Fewer Intruder Dimensions"),
    meaning: t("Damps directions that the base does not have, against forgetting"),
    suffix: "reduced",
    needsBase: true,
  },
  {
    kind: "onnxAdapter",
    label: t("ONNX Runtime Adapter"),
    meaning: t("A .onnx_adapter file for models of Olive or of the GenAI builder"),
    extension: "onnx_adapter",
    suffix: "",
    needsBase: false,
  },
  {
    kind: "gguf",
    label: "GGUF",
    meaning: t("A .gguf file for llama.cpp and what is built on it"),
    extension: "gguf",
    suffix: "",
    needsBase: true,
  },
];

/** Methods whose change is not one matrix a module: there is no LoRA that does the same. */
const withoutMatrix = new Set([
  ...["PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT", "CARTRIDGE"],
  ...["ADAPTION_PROMPT", "LN_TUNING", "TRAINABLE_TOKENS", "XLORA", "POLY", "SHADOW"],
]);

/** What is beside the factors of a LoRA; the file formats of other runtimes have no place for it. */
const besideFactors: readonly string[] = [
  ...["use_dora", "lora_bias", "layer_replication", "modules_to_save", "trainable_token_indices"],
];

/** What fits an adapter of this method with this config; none where nothing does. */
export function conversionsOf(
  peftType: string,
  config: Readonly<Record<string, unknown>> = {},
): ConversionChoice[] {
  if (peftType === "LORA") {
    const isOn = (option: string): boolean => {
      const value = config[option];
      return Array.isArray(value) ? value.length > 0 : Boolean(value);
    };
    // llama.cpp's format alone knows the tokens that switch a LoRA on.
    const outOfOnnx = [...besideFactors, "alora_invocation_tokens"];
    const fits = ({ kind }: ConversionChoice): boolean =>
      !(kind === "onnxAdapter" ? outOfOnnx : kind === "gguf" ? besideFactors : []).some(isOn);
    return [...ofLora.filter(fits), { ...toLora, label: t("Plain LoRA") }];
  }
  return peftType === "" || withoutMatrix.has(peftType) ? [] : [toLora];
}

/** "28 modules of rank 8 to 16, 0.4 % of the update is lost, most in layers.0.q_proj (1.2 %)." */
export function describeResult(
  { modules, ranks: [least, most], lost, worst, warnings }: ConvertResult,
  kind: Conversion["kind"],
): string {
  const count = modules === 1 ? t("1 module") : t("{0} modules", modules);
  const rank = least === most ? t("rank {0}", least) : t("rank {0} to {1}", least, most);
  const [first] = worst;
  const share =
    kind === "reduceIntruders"
      ? t("{0} of the update is changed", formatShare(lost))
      : t("{0} of the update is lost", formatShare(lost));
  const where = first ? t(", most in {0} ({1})", first.module, formatShare(first.lost)) : "";
  const sentences = [
    t("{0} of {1}{2}.", count, rank, lost === 0 ? "" : `, ${share}${where}`),
    ...warnings,
  ];
  return sentences.join(" ");
}
