/** LoRA as other runtimes know it: factors of linear layers and nothing beside them. */
import { t } from "@vscode/l10n";
import { type FloatDtype, toFloat32 } from "../../base/dtype.ts";
import { unsupported } from "../../base/errors.ts";
import { fromFloat32 } from "../../base/halfFloat.ts";
import type { AdapterCheckpoint } from "../../checkpoint/adapterCheckpoint.ts";
import { type Factors, joined, truncated } from "../combine/factors.ts";
import type { ConvertedModule } from "./converted.ts";
import { type LoraAdapter, notPlain, openLora, type Refusal } from "./loraAdapter.ts";

const whole = t("Convert it to LoRA first: the new one has the magnitudes in its factors.");

/** Options whose parts are in no factor. */
const beside: readonly Refusal[] = [
  {
    option: "use_dora",
    isOn: ({ use_dora: isDora }) => isDora,
    reason: t("the format has no place for magnitudes"),
    remedy: whole,
  },
  {
    option: "lora_bias",
    isOn: ({ lora_bias: hasBias }) => hasBias,
    reason: t("the format has no place for biases"),
    remedy: "",
  },
  {
    option: "layer_replication",
    isOn: ({ layer_replication: layers }) => layers.length > 0,
    reason: t("the format has no place for repeated layers"),
    remedy: "",
  },
];

const invocation: Refusal = {
  option: "alora_invocation_tokens",
  isOn: ({ alora_invocation_tokens: tokens }) => tokens.length > 0,
  reason: t("the format has no place for tokens that switch it on"),
  remedy: "",
};

/**
 * Opens a LoRA whose factors are all there is to it.
 * @throws unsupported naming the option or the tensor that the format cannot express
 */
export async function openPlain(
  checkpoint: AdapterCheckpoint,
  {
    format,
    hasInvocation = false,
    signal,
  }: { format: string; hasInvocation?: boolean; signal?: AbortSignal | undefined },
): Promise<LoraAdapter> {
  const refused = [...notPlain, ...beside, ...(hasInvocation ? [] : [invocation])];
  const adapter = await openLora(checkpoint, { refused, signal });
  // A table saved beside its factors is the base's own.
  const [stranger] = adapter.others.filter(({ name }) => !name.endsWith(".base_layer.weight"));
  if (stranger) {
    throw unsupported(
      t(
        '{0}: {1} has no place for "{2}", which is stored whole',
        checkpoint.weights.file,
        format,
        stranger.name,
      ),
      t("Only LoRA factors can be converted (no modules_to_save, trained tokens or biases)."),
    );
  }
  return adapter;
}

export type StoredDtype = "fp32" | "fp16" | "bf16";

const stored: Readonly<Record<StoredDtype, FloatDtype>> = {
  fp32: "F32",
  fp16: "F16",
  bf16: "BF16",
};

/** A module's factors as bytes of a type, and what rounding to it loses. */
export function roundFactors(
  path: string,
  factors: Factors,
  dtype: StoredDtype,
): { a: Uint8Array; b: Uint8Array; dtype: FloatDtype; module: ConvertedModule } {
  const type = stored[dtype];
  const [a, b] = [fromFloat32(factors.a, type), fromFloat32(factors.b, type)];
  const rounded = { ...factors, a: toFloat32(a, type), b: toFloat32(b, type) };
  if (![...rounded.a, ...rounded.b].every(Number.isFinite)) {
    throw unsupported(
      t("{0} holds values that {1} cannot: NaN, infinite or too large", path, dtype),
      t("Choose fp32."),
    );
  }
  const total = squaredNorm(factors);
  const lost = type === "F32" ? 0 : squaredDistance(rounded, factors);
  return { a, b, dtype: type, module: { path, rank: factors.rank, total, lost } };
}

/** ‖B A‖², exact although B A is never made. */
export function squaredNorm(factors: Factors): number {
  const { b } = truncated(factors, factors.rank);
  return b.reduce((sum, value) => sum + value ** 2, 0);
}

/** ‖B' A' − B A‖². */
export function squaredDistance(one: Factors, other: Factors): number {
  return squaredNorm(joined([one, { ...other, b: other.b.map((value) => -value) }]));
}
