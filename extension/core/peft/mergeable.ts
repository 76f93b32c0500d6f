import { t } from "@vscode/l10n";
import { type GraftError, unsupported } from "../base/errors.ts";
import type { BaseCheckpoint } from "../checkpoint/baseCheckpoint.ts";
import type { ActiveEffects } from "./activeEffects.ts";
import type { AdapterEffects } from "./effect.ts";

/** @throws unsupported for a base or an adapter whose effect no weights of the base can hold */
export function refuseUnmergeable(
  { onnx }: BaseCheckpoint,
  active: readonly ActiveEffects[],
): void {
  if (onnx !== undefined) {
    throw unsupported(
      t("{0} is an ONNX export, into whose weights Graft does not merge", onnx),
      t("Merge into the model's Hugging Face checkpoint, or keep the adapter active."),
    );
  }
  for (const { effects } of active) {
    const refusal = refusalOf(effects);
    if (refusal) throw refusal;
  }
}

function refusalOf(effects: AdapterEffects): GraftError | null {
  const { virtualTokens, cachePrefix, attention, router, companion, activation, layers } = effects;
  if (virtualTokens || cachePrefix || attention) {
    return unsupported(
      t("Prompt methods put tokens before the prompt and cannot be merged into weights"),
    );
  }
  if (router) {
    return unsupported(
      t("X-LoRA weighs its experts anew for every token and cannot be merged into weights"),
    );
  }
  if (companion) {
    return unsupported(
      t(
        "A Shadow adapter runs a decoder of its own beside the base and cannot be merged into weights",
      ),
    );
  }
  if (activation) {
    return unsupported(t("An adapter that changes only some tokens cannot be merged into weights"));
  }
  if (layers) {
    return unsupported(
      t(
        "An adapter that repeats layers cannot be merged: each copy has an update of its own, the weights are one",
      ),
    );
  }
  if ([...effects.linear.values()].some(({ routed }) => routed !== undefined)) {
    return unsupported(
      t("An adapter that routes tokens cannot be merged: no one weight is its own"),
    );
  }
  return null;
}
