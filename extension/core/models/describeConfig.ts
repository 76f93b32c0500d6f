import type { BaseCheckpoint, WeightRef } from "../checkpoint/baseCheckpoint.ts";
import { buildModel } from "./index.ts";
import type { Model } from "./model.ts";
import { anyShape } from "./checkpointWeights.ts";

/** A tensor of every name, of whatever shape is asked for. */
class EveryWeight extends Map<string, WeightRef> {
  override has(): boolean {
    return true;
  }

  override get(name: string): WeightRef {
    return { name, dtype: "F32", shape: anyShape, offset: 0, byteLength: 0, file: "" };
  }
}

/**
 * What a config.json alone says of its model: modules, groups and sizes. The graph is not for running.
 * @throws unsupported for a family that Graft does not know
 */
export function describeConfig(checkpoint: BaseCheckpoint): Model {
  return buildModel({ ...checkpoint, weights: new EveryWeight() });
}
