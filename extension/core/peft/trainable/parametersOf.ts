import type { Shape } from "../../base/shape.ts";
import type { TunerConfig } from "../tuner/config.ts";
import type { TunerPlan } from "../tuner/tuner.ts";
import { peftPrefix } from "./parameters.ts";
import type { TokenTable } from "./tokenRows.ts";
import type { Parameter } from "./trainable.ts";
import type { ExtraTensor, TrainableTuner } from "./tuner.ts";
import { inOrder, type WholeTensor } from "./whole.ts";

/** All that an adapter is made of, in the order of PEFT's named_parameters(). */
export function parametersOf<C extends TunerConfig>(
  tuner: TrainableTuner<C>,
  plan: TunerPlan<C>,
  { whole, tokens }: { whole: readonly WholeTensor[]; tokens: readonly TokenTable[] },
): Parameter[] {
  const own = (path: string, suffix: string, tensor: ExtraTensor): Parameter => {
    const torch = tuner.torchSuffix?.(suffix) ?? suffix;
    return {
      name: `${peftPrefix}${path}.${suffix}`,
      ...(torch !== suffix && { torchName: `${peftPrefix}${path}.${torch}` }),
      ...tensor,
      kind: tuner.kindOf?.(suffix) ?? "other",
    };
  };
  const stored = (suffix: string, shape: Shape): ExtraTensor => ({
    shape,
    isTrained: tuner.isTrained?.(suffix, plan.config) ?? true,
    isStored: true,
  });
  const listed = (shapes: Readonly<Record<string, Shape>>): Record<string, ExtraTensor> =>
    Object.fromEntries(
      Object.entries(shapes).map(([suffix, shape]) => [suffix, stored(suffix, shape)]),
    );
  const modules = plan.targets.map(({ module, shapes }) => ({
    path: module.path,
    parameters: [
      ...Object.entries(tuner.tensors?.(module, plan) ?? listed(shapes)).map(([suffix, tensor]) =>
        own(module.path, suffix, tensor),
      ),
      ...Object.entries(tuner.extraTensors?.(module, plan) ?? {}).map(([suffix, tensor]) =>
        own(module.path, suffix, tensor),
      ),
    ],
  }));
  const targeted = plan.parameters.map(({ target, shapes }) => ({
    path: target.path,
    parameters: Object.entries(shapes).map(([suffix, shape]) =>
      own(target.stored, suffix, stored(suffix, shape)),
    ),
  }));
  const rows = tokens.map(({ module: { path }, parameter }) => ({ path, parameters: [parameter] }));
  // PyTorch meets what modules share in the first of them, and calls it after it.
  const [first, ...others] = modules;
  const shared = Object.entries(tuner.sharedTensors?.(plan) ?? {}).map(
    ([name, tensor]): Parameter => ({
      name: `base_model.${name}`,
      ...(first && { torchName: `${peftPrefix}${first.path}.${name}` }),
      ...tensor,
      kind: "other",
    }),
  );
  const all = first ? [{ ...first, parameters: [...first.parameters, ...shared] }, ...others] : [];
  return inOrder(plan.base.tree, whole, [...all, ...targeted, ...rows]);
}
