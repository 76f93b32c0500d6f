/** Parameters of the base that are trained whole: modules_to_save and biases. */
import { t } from "@vscode/l10n";
import { misfit, unsupported } from "../../base/errors.ts";
import type { Shape } from "../../base/shape.ts";
import { type ModuleInfo, type ModuleTree, weightName } from "../../checkpoint/modules.ts";
import type { ParameterTarget } from "../../checkpoint/parameters.ts";
import type { MethodBase } from "../method.ts";
import type { TunerConfig } from "../tuner/config.ts";
import { isSaved, wholeShape } from "../tuner/wholeParameters.ts";
import { peftPrefix } from "./parameters.ts";
import type { Parameter } from "./trainable.ts";

/** What decides which parameters of a base are trained whole. */
interface WholePlan {
  readonly config: Pick<TunerConfig, "modules_to_save" | "bias">;
  readonly base: MethodBase;
  readonly file: string;
  readonly targets: readonly { readonly module: ModuleInfo }[];
  readonly parameters: readonly { readonly target: ParameterTarget }[];
}

/** A parameter of the base that becomes an input. */
export interface WholeTensor extends Parameter {
  readonly module: ModuleInfo;
  readonly parameter: "weight" | "bias";
}

/**
 * What is trained whole: of modules_to_save all (a tied head is a copy of its own), and with `bias`
 * "all" or "…_only" the biases of all modules or of the targeted ones.
 */
export function wholeTensors(
  { config, base: { tree }, targets, parameters, file }: WholePlan,
  prefix = peftPrefix,
): WholeTensor[] {
  const copied = tree.experts?.find(({ path }) => isSaved(path, config));
  if (copied) {
    throw unsupported(
      t(
        '{0}: field "modules_to_save" names {1}; Graft does not run whole copies of experts',
        file,
        copied.path,
      ),
      t("Train experts with target_parameters."),
    );
  }
  const targeted = new Set([
    ...targets.map(({ module }) => module.path),
    ...parameters.map(({ target }) => target.path),
  ]);
  return tree.modules.flatMap((module) => {
    const hasBias = module.kind !== "embedding" && module.hasBias === true;
    if (isSaved(module.path, config)) {
      const name = `${prefix}${module.path}`;
      const own = tensor(module, "weight", name);
      return hasBias ? [own, tensor(module, "bias", name)] : [own];
    }
    const isTarget = targeted.has(module.path);
    const isTrained = config.bias === "all" || (config.bias.endsWith("_only") && isTarget);
    if (!hasBias || !isTrained) return [];
    const name = `${prefix}${module.path}`;
    return [tensor(module, "bias", isTarget ? `${name}.base_layer` : name)];
  });
}

function tensor(module: ModuleInfo, parameter: "weight" | "bias", name: string): WholeTensor {
  return {
    name: `${name}.${parameter}`,
    shape: wholeShape(module, parameter),
    isTrained: true,
    isStored: true,
    kind: parameter === "bias" ? "bias" : module.kind === "embedding" ? "embedding" : "other",
    module,
    parameter,
  };
}

/** Parameters as PyTorch lists them: module by module, a base layer's before its adapter's. */
export function inOrder(
  { modules, experts = [] }: ModuleTree,
  whole: readonly WholeTensor[],
  own: readonly { path: string; parameters: readonly Parameter[] }[],
): Parameter[] {
  const paths: string[] = modules.map(({ path }) => path);
  const stacks = [...experts].sort((a, b) => b.place - a.place);
  for (const { path, place } of stacks) paths.splice(place, 0, path);
  return paths.flatMap((path) => [
    ...whole.filter(({ module }) => module.path === path).map(asParameter),
    ...own.filter((each) => each.path === path).flatMap(({ parameters }) => parameters),
  ]);
}

function asParameter({ module: _module, parameter: _parameter, ...own }: WholeTensor): Parameter {
  return own;
}

/** Their values in the base, as they are stored. */
export async function wholeValues(
  whole: readonly WholeTensor[],
  base: MethodBase,
  signal?: AbortSignal,
): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>();
  for (const { name, module, parameter, shape } of whole) {
    const source = parameter === "weight" ? weightName(module) : `${module.path}.bias`;
    const own = await base.readTensor(source, signal);
    if (!own) throw misfit(t('The base has no tensor "{0}", which the adapter needs.', source));
    const isTurned = parameter === "weight" && module.kind === "linear" && module.isTransposed;
    values.set(name, isTurned ? turned(own, shape) : own);
  }
  return values;
}

/** [out, in] as it is read → [in, out] as a Conv1D stores it. */
function turned(matrix: Float32Array, [inputs = 0, out = 0]: Shape): Float32Array {
  const stored = new Float32Array(matrix.length);
  for (let row = 0; row < out; row++) {
    for (let i = 0; i < inputs; i++) stored[i * out + row] = matrix[row * inputs + i] as number;
  }
  return stored;
}
