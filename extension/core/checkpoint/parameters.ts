import type { Shape } from "../base/shape.ts";
import type { ModuleInfo, ModuleTree } from "./modules.ts";

/** A parameter that an adapter targets by its own name (PEFT's `target_parameters`). */
export interface ParameterTarget {
  readonly module: ModuleInfo;
  /** Its name in the module: "weight". */
  readonly parameter: string;
  /** Path and name, as PEFT reports it: "model.layers.0.mlp.down_proj.weight". */
  readonly name: string;
  /** The parameter's own as it is stored: [out, in] (Conv1D [in, out]), [rows, dim] of a table, or [size]. */
  readonly shape: Shape;
  /** Path under which the file keeps its factors. */
  readonly stored: string;
}

interface Parameter {
  readonly name: string;
  readonly shape: Shape;
}

/**
 * Parameters that the names choose, in the model's order: a full name, or its end after a dot. Layers
 * and excluded modules have no say here (PEFT tuners_utils._inject_parameters).
 */
export function resolveParameters(tree: ModuleTree, names: readonly string[]): ParameterTarget[] {
  return tree.modules.flatMap((module) => {
    const chosen = parametersOf(module).filter(({ name }) =>
      isChosen(`${module.path}.${name}`, names),
    );
    const stored = wrapperPaths(module.path, chosen.length);
    return chosen.map(({ name: parameter, shape }, i) => ({
      module,
      parameter,
      name: `${module.path}.${parameter}`,
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

/** A module's own parameters in PyTorch's order. */
function parametersOf(module: ModuleInfo): Parameter[] {
  switch (module.kind) {
    case "linear": {
      const stored = module.isTransposed ? [module.in, module.out] : [module.out, module.in];
      const weight = { name: "weight", shape: stored };
      return module.hasBias ? [weight, { name: "bias", shape: [module.out] }] : [weight];
    }
    case "embedding":
      return [{ name: "weight", shape: [module.in, module.out] }];
    case "norm":
      return ["weight", ...(module.hasBias ? ["bias"] : [])].map((name) => ({
        name,
        shape: [module.out],
      }));
  }
}
