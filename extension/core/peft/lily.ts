/**
 * Lily (https://arxiv.org/abs/2407.09946; PEFT tuners/lily): one down projection A, several up
 * projections B_e and a router R that mixes them,
 *
 *     p = mean over tokens of softmax(R A x)      y = W x + s · (Σ_e p_e B_e) A x
 *
 * The mean goes over every token of a pass, padding and other rows of the batch too: a prompt run at
 * once and the same prompt run token by token through the cache differ, in PEFT as here. Run time:
 * the routed low-rank slot, each expert with its own copy of A.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { multiply } from "../base/matrix.ts";
import type { Shape } from "../base/shape.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { loraTargets } from "./defaultTargets.ts";
import type { LinearEffect } from "./effect.ts";
import type { FieldInfo } from "./method.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

const schema = z.looseObject({
  ...tunerFields,
  r: wholeNumber.default(32),
  stride_A: wholeNumber.default(1),
  num_B: z.int().min(2, t("It must be at least 2.")).default(2),
  scaling: z.number().default(1),
});

type LilyConfig = z.infer<typeof schema>;

const fields: Readonly<Record<string, FieldInfo>> = {
  r: { default: 32, meaning: t("Rank of the update.") },
  stride_A: { default: 1, meaning: t("Consecutive layers that share a down projection.") },
  num_B: { default: 2, meaning: t("Up projections that the router mixes.") },
  scaling: { default: 1, meaning: t("Factor on the update.") },
  init_weights: { default: true, meaning: t("The update was zero before training.") },
};

export const lily = tunerMethod<LilyConfig>({
  peftType: "LILY",
  schema,
  fields,
  defaultTargets: loraTargets,
  suffixes: ["lily_A.weight", "lily_B.weight", "lily_router.weight"],
  kinds: ["linear"],
  rank: (config) => config.r,
  scale: ({ r, scaling }) => ({ rank: r, alpha: null, scaling }),
  shapes,
  isOwn,
  linear: linearEffect,
});

/** Layers of one name and size share their up projections, and so many in a row the down projection. */
function isOwn(
  suffix: string,
  at: { module: ModuleInfo; config: LilyConfig; targets: readonly ModuleInfo[] },
): boolean {
  if (suffix === "lily_router.weight") return true;
  const place = at.targets
    .filter((each) => groupOf(each) === groupOf(at.module))
    .findIndex(({ path }) => path === at.module.path);
  return suffix === "lily_B.weight" ? place === 0 : place % at.config.stride_A === 0;
}

function groupOf(module: ModuleInfo): string {
  const name = module.path.split(".").at(-1);
  return module.kind === "norm" ? "" : `${name} ${module.in} ${module.out}`;
}

function shapes(module: ModuleInfo, { r, num_B: experts }: LilyConfig): Record<string, Shape> {
  if (module.kind !== "linear") return {};
  return {
    "lily_A.weight": [r, module.in],
    "lily_B.weight": [experts * r, module.out],
    "lily_router.weight": [experts, r],
  };
}

function linearEffect(
  module: LinearModule,
  tensors: ModuleTensors,
  { config }: TunerContext<LilyConfig>,
): LinearEffect {
  const { r, num_B: experts, scaling } = config;
  const rank = experts * r;
  const down = tensors.values("lily_A.weight");
  const a = new Float32Array(rank * module.in);
  for (let expert = 0; expert < experts; expert++) a.set(down, expert * down.length);
  const b = new Float32Array(module.out * rank);
  tensors.values("lily_B.weight").forEach((value, i) => {
    b[(i % module.out) * rank + Math.floor(i / module.out)] = scaling * value;
  });
  const size = { rows: experts, inner: r, columns: module.in };
  const router = Float32Array.from(multiply(tensors.values("lily_router.weight"), down, size));
  const expertOf = Int32Array.from({ length: rank }, (_, i) => Math.floor(i / r));
  return { routed: { a, b, rank, expertOf, router, gate: { kind: "mean" } } };
}
