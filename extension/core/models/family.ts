import type { CausalModel } from "./causalModel.ts";
import type { ModelBuilder } from "./modelBuilder.ts";

/** One model family: how its config.json becomes a graph. */
export interface Family {
  /** `model_type` in config.json. */
  readonly modelType: string;
  readonly architecture: string;
  /** PEFT's default LoRA targets for it (utils/constants.py), used when a config names none. */
  readonly loraTargets: readonly string[] | null;
  readonly build: (m: ModelBuilder) => CausalModel;
}
