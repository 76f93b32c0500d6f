import type { JsonObject } from "../base/json.ts";
import type { Model } from "./model.ts";
import type { ModelBuilder } from "./modelBuilder.ts";

/** One model family: how its config.json becomes a graph. */
export interface Family {
  /** `model_type` in config.json. */
  readonly modelType: string;
  /**
   * What builds each class that `architectures` in config.json may name; the first is taken when it
   * names none. Where that is a decoder with a language head, the family's classes with other heads
   * and the bare stack come with it (architecture.ts).
   */
  readonly architectures: Readonly<Record<string, (m: ModelBuilder) => Model>>;
  /** Name of the stack in the family's classes, transformers' `base_model_prefix`; "model" when absent. */
  readonly backbone?: string;
  /** The same in …ForQuestionAnswering, where transformers calls it otherwise. */
  readonly questionBackbone?: string;
  /** Path of the linear layer of …ForTokenClassification; "score" when absent. */
  readonly tokenHead?: string;
  /**
   * Name of a parameter in transformers 5 by the name that a checkpoint's file gives it; null for
   * tensors that are no parameters (buffers of older versions). Names are taken as they are without it.
   */
  tensorName?(name: string, config: JsonObject): string | null;
  /**
   * Other names of a parameter that several modules share, by the one that Graft reads: a file may have
   * any of them, or all.
   */
  readonly twins?: Readonly<Record<string, readonly string[]>>;
}
