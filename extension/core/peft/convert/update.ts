/** What an effect adds to a weight and a bias, read off the normal form in effect.ts. */
import { t } from "@vscode/l10n";
import { unsupported } from "../../base/errors.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import { addProduct, type EmbeddingEffect, type LinearEffect } from "../effect.ts";
import type { Update } from "./factorise.ts";

/** The base's own parameters of a module, read when they are needed. */
export interface OwnParameters {
  /** [out, in] */
  weight(): Promise<Float32Array>;
  /** [out], or null. */
  bias(): Promise<Float32Array | null>;
}

/**
 * ΔW = outputScale W inputScale − W + B A + Δ of a linear layer; low-rank where the effect is.
 * @throws unsupported when the effect is none on a weight
 */
export async function weightUpdate(
  module: LinearModule,
  effect: LinearEffect,
  own: OwnParameters,
): Promise<Update> {
  refuseOthers(module.path, effect);
  return matrixUpdate(module, effect, own);
}

/** The same of an effect that is known to be one on a weight. */
export async function matrixUpdate(
  { in: inputs, out }: Pick<LinearModule, "in" | "out">,
  effect: LinearEffect,
  own: Pick<OwnParameters, "weight">,
): Promise<Update> {
  const { lowRank, delta, inputScale, outputScale } = effect;
  if (!delta && !inputScale && !outputScale) {
    const none = { a: new Float32Array(inputs), b: new Float32Array(out), rank: 1 };
    return { kind: "factors", factors: { ...(lowRank ?? none), inputs, out } };
  }
  const sum = new Float64Array(out * inputs);
  if (inputScale || outputScale) {
    const weight = await own.weight();
    for (let i = 0; i < sum.length; i++) {
      const scale =
        (outputScale?.[Math.floor(i / inputs)] ?? 1) * (inputScale?.[i % inputs] ?? 1) - 1;
      sum[i] = scale * (weight[i] as number);
    }
  }
  delta?.forEach((value, i) => (sum[i] = (sum[i] as number) + value));
  if (lowRank) addProduct(sum, lowRank, inputs);
  return { kind: "dense", values: Float32Array.from(sum), inputs, out };
}

/** Δb = (outputScale − 1) b + shift; null where nothing but rounding is left of it. */
export async function biasUpdate(
  { outputScale, shift }: LinearEffect,
  own: Pick<OwnParameters, "bias">,
): Promise<Float32Array | null> {
  if (!shift && !outputScale) return null;
  const bias = await own.bias();
  if (!shift && !bias) return null;
  const size = (shift ?? bias)?.length ?? 0;
  const parts = (i: number): [number, number] => [
    ((outputScale?.[i] ?? 1) - 1) * (bias?.[i] ?? 0),
    shift?.[i] ?? 0,
  ];
  const sum = Float32Array.from({ length: size }, (_, i) => parts(i)[0] + parts(i)[1]);
  // DoRA leaves the bias alone: its two parts cancel up to rounding.
  const isMoved = sum.some((value, i) => {
    const [x, y] = parts(i);
    return Math.abs(value) > 1e-6 * Math.max(Math.abs(x), Math.abs(y));
  });
  return isMoved ? sum : null;
}

/** What is added to a table [tokens, dim], as an update [dim, tokens] of LoRA's embedding factors. */
export function tableUpdate(
  { path, in: tokens, out: dim }: { path: string; in: number; out: number },
  effect: EmbeddingEffect,
): Update {
  if ((effect.rows ?? tokens) > tokens) throw refusal(path, reasons.newRows);
  if (effect.routedDelta) throw refusal(path, reasons.fed);
  const values = new Float32Array(dim * tokens);
  for (let id = 0; id < tokens; id++) {
    effect.rowDelta(id)?.forEach((value, i) => (values[i * tokens + id] = value));
  }
  return { kind: "dense", values, inputs: tokens, out: dim };
}

type OnWeights =
  "lowRank" | "delta" | "inputScale" | "outputScale" | "shift" | "turn" | "rotation" | "taken";

/** Why the other parts of an effect are no matrix. */
const reasons: Readonly<Record<Exclude<keyof LinearEffect, OnWeights>, string>> = {
  gated: t("its update holds for some tokens alone"),
  routed: t("it routes tokens, and a router is no part of a LoRA"),
  fed: t("it weighs its experts anew for every token"),
  newRows: t("it adds rows for new tokens"),
};

function refuseOthers(path: string, effect: LinearEffect): void {
  const parts = Object.entries(reasons) as [keyof LinearEffect, string][];
  const [, reason] = parts.find(([part]) => effect[part] !== undefined) ?? [];
  if (reason !== undefined) throw refusal(path, reason);
}

function refusal(path: string, reason: string): Error {
  return unsupported(t("The adapter cannot become a LoRA: on {0} {1}", path, reason));
}
