import type { CausalModel } from "./causalModel.ts";
import type { ModelBuilder } from "./modelBuilder.ts";

/** One model family: how its config.json becomes a graph. */
export interface Family {
  /** `model_type` in config.json. */
  readonly modelType: string;
  readonly architecture: string;
  readonly build: (m: ModelBuilder) => CausalModel;
}
