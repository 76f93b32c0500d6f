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

export type LilyConfig = z.infer<typeof schema>;

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

function isOwn(
  suffix: string,
  { module, ...at }: { module: ModuleInfo; config: LilyConfig; targets: readonly ModuleInfo[] },
): boolean {
  if (suffix === "lily_router.weight" || module.kind !== "linear") return true;
  const linear = at.targets.filter((each) => each.kind === "linear");
  return sharersOf(module, suffix, { ...at, targets: linear })[0].path === module.path;
}

/**
 * The layers that have one tensor, in the model's order (lily/model.py, _post_injection_hook): layers that
 * the same name in target_modules chooses and that are of one size share their up projections, and so
 * many of them in a row the down projection.
 */
export function sharersOf(
  module: LinearModule,
  suffix: string,
  { config, targets }: { config: LilyConfig; targets: readonly LinearModule[] },
): [LinearModule, ...LinearModule[]] {
  const key = groupOf(module, config);
  const group = targets.filter((each) => groupOf(each, config) === key);
  const { stride_A: stride } = config;
  const start = Math.floor(group.findIndex(({ path }) => path === module.path) / stride) * stride;
  const all = suffix === "lily_B.weight" ? group : group.slice(start, start + stride);
  const [first = module, ...others] = all;
  return [first, ...others];
}

function groupOf(module: LinearModule, { target_modules: names }: LilyConfig): string {
  const { path, in: inputs, out } = module;
  // A regex makes one kind of all layers of a size; names that nobody gave are the ends of paths.
  const chosen = Array.isArray(names)
    ? names.findLast((name) => path.endsWith(name))
    : (names ?? path.split(".").at(-1));
  return `${chosen} ${inputs} ${out}`;
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
