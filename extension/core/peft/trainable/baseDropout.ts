import type { LayerHook } from "../../onnx/layerHook.ts";
import { Dropout } from "./dropout.ts";
import { baseDropoutSeedName } from "./names.ts";
import { ParameterInputs } from "./parameters.ts";

/**
 * The hook with the base's own dropout, as transformers has it in training, around and below the adapter's.
 * @param used takes the fields of config.json that were found
 */
export function withBaseDropout(hook: LayerHook, used: Set<string>): LayerHook {
  const dropout = new Dropout(new ParameterInputs([]), baseDropoutSeedName);
  return {
    ...hook,
    dropout: (g, { x, path, field, probability, size, rows }) => {
      used.add(field);
      const salt = `base.${path}`;
      return dropout.apply(g, x, { probability, salt, size, rows: rows === "own" ? x : rows });
    },
  };
}
