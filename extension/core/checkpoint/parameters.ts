import type { Shape } from "../base/shape.ts";
import type { ExpertParameter, ExpertStack, ModuleInfo, ModuleTree } from "./modules.ts";

/** What a parameter belongs to. */
export type ParameterOwner =
  | { readonly kind: "module"; readonly module: ModuleInfo }
  | { readonly kind: "experts"; readonly stack: ExpertStack; readonly matrix: ExpertParameter };

/** A parameter that an adapter targets by its own name (PEFT's `target_parameters`). */
export interface ParameterTarget {
  readonly owner: ParameterOwner;
  /** Path of the module that has it. */
  readonly path: string;
  /** Its name in the module: "weight". */
  readonly parameter: string;
  /** Path and name, as PEFT reports it: "model.layers.0.mlp.down_proj.weight". */
  readonly name: string;
  /** The parameter's own as it is stored: [out, in] (Conv1D [in, out]), [rows, dim] of a table, [size], or [experts, out, in]. */
  readonly shape: Shape;
  /** Path under which the file keeps its factors. */
  readonly stored: string;
}

interface Parameter {
  readonly name: string;
  readonly shape: Shape;
  readonly owner: ParameterOwner;
}

/**
 * Parameters that the names choose, in the model's order: a full name, or its end after a dot. Layers
 * and excluded modules have no say here (PEFT tuners_utils._inject_parameters).
 */
export function resolveParameters(tree: ModuleTree, names: readonly string[]): ParameterTarget[] {
  return holders(tree).flatMap(({ path, parameters }) => {
    const chosen = parameters.filter(({ name }) => isChosen(`${path}.${name}`, names));
    const stored = wrapperPaths(path, chosen.length);
    return chosen.map(({ name: parameter, shape, owner }, i) => ({
      owner,
      path,
      parameter,
      name: `${path}.${parameter}`,
      shape,
      stored: stored[i] as string,
    }));
  });
}

/** Which of the names choose a parameter: the name itself, or what its name ends with after a dot. */
export function isChosen(name: string, names: readonly string[]): boolean {
  return names.some((each) => name === each || name.endsWith(`.${each}`));
}

/**
 * Where a file keeps the factors of `count` parameters of one module: PEFT wraps the module once for
 * each, so that the first is innermost and the last has the module's own path.
 */
export function wrapperPaths(path: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => path + ".base_layer".repeat(count - 1 - i));
}

/** Names of all parameters of a model, in PyTorch's order. */
export function parameterNames(tree: ModuleTree): string[] {
  return holders(tree).flatMap(({ path, parameters }) =>
    parameters.map(({ name }) => `${path}.${name}`),
  );
}

/** Modules with parameters, in the model's order. */
function holders(tree: ModuleTree): { path: string; parameters: Parameter[] }[] {
  const stacks = tree.experts ?? [];
  const stacksAt = (place: number): { path: string; parameters: Parameter[] }[] =>
    stacks
      .filter((stack) => stack.place === place)
      .map((stack) => ({ path: stack.path, parameters: parametersOfStack(stack) }));
  return [
    ...tree.modules.flatMap((module, place) => [
      ...stacksAt(place),
      { path: module.path, parameters: parametersOf(module) },
    ]),
    ...stacksAt(tree.modules.length),
  ];
}

function parametersOfStack(stack: ExpertStack): Parameter[] {
  return stack.parameters.map((matrix) => ({
    name: matrix.name,
    shape: [stack.count, matrix.out, matrix.in],
    owner: { kind: "experts", stack, matrix },
  }));
}

/** A module's own parameters in PyTorch's order. */
function parametersOf(module: ModuleInfo): Parameter[] {
  const owner = { kind: "module", module } as const;
  switch (module.kind) {
    case "linear": {
      const stored = module.isTransposed ? [module.in, module.out] : [module.out, module.in];
      const weight = { name: "weight", shape: stored, owner };
      return module.hasBias ? [weight, { name: "bias", shape: [module.out], owner }] : [weight];
    }
    case "embedding":
      return [{ name: "weight", shape: [module.in, module.out], owner }];
    case "norm":
      return ["weight", ...(module.hasBias ? ["bias"] : [])].map((name) => ({
        name,
        shape: [module.out],
        owner,
      }));
  }
}
