import type { PeftModel } from "../core/peftModel.ts";
import type { ModelStatusResult } from "../protocol/reportContract.ts";

/** A model's status as plain data. */
export function statusResult(model: PeftModel): ModelStatusResult {
  const parameters = model.adapters.map(({ name, weights: { counts } }) => {
    const { trained, added, stored } = counts;
    return [name, { trained, added, stored }] as const;
  });
  return structuredClone({
    ...model.getModelStatus(),
    layers: model.getLayerStatus(),
    parameters: Object.fromEntries(parameters),
  }) as ModelStatusResult;
}
