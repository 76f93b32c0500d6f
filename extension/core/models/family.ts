import type { JsonObject } from "../base/json.ts";
import type { CausalModel } from "./causalModel.ts";
import type { ModelBuilder } from "./modelBuilder.ts";

/** One model family: how its config.json becomes a graph. */
export interface Family {
  /** `model_type` in config.json. */
  readonly modelType: string;
  /** What builds each class that `architectures` in config.json may name; the first is taken when it names none. */
  readonly architectures: Readonly<Record<string, (m: ModelBuilder) => CausalModel>>;
  /**
   * Name of a parameter in transformers 5 by the name that a checkpoint's file gives it; null for
   * tensors that are no parameters (buffers of older versions). Names are taken as they are without it.
   */
  tensorName?(name: string, config: JsonObject): string | null;
}
