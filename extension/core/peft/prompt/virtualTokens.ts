import type { Shape } from "../../base/shape.ts";
import type { AdapterEffects } from "../effect.ts";
import type { MethodBase } from "../method.ts";
import type { ModuleTensors } from "../tuner/tensors.ts";
import { checkSize, type PromptConfig, submodules, tokenEmbedding } from "./config.ts";
import type { PromptContext } from "./prompt.ts";

/** Name under which PEFT stores a finished prompt, whatever encoder made it. */
export const storedPrompt = "prompt_embeddings";

/** A prompt of embeddings: one row [token_dim] a virtual token. */
export function promptRows<C extends PromptConfig>({
  config,
  file,
  base,
}: PromptContext<C>): Record<string, Shape> {
  const rows = config.num_virtual_tokens * submodules(config, { base, file });
  const { out: hidden } = tokenEmbedding(base);
  checkSize("token_dim", { config, own: hidden, file });
  return { [storedPrompt]: [rows, hidden] };
}

/**
 * Rows that go into the model as they are stored. Those for a decoder stand behind an encoder's, and PEFT
 * stores them, but nothing reads them (PeftModelForSeq2SeqLM.forward).
 */
export function storedRows<C extends PromptConfig>(
  { config, base }: PromptContext<C>,
  tensors: ModuleTensors,
): Promise<Partial<AdapterEffects>> {
  const { out: hidden } = tokenEmbedding(base);
  const rows = tensors.values(storedPrompt).subarray(0, config.num_virtual_tokens * hidden);
  return virtualTokens(base, [rows]);
}

/** The effect of embeddings [count, hidden], one a task, before every prompt. */
export function virtualTokens(
  base: MethodBase,
  tasks: readonly Float32Array[],
): Promise<Pick<AdapterEffects, "virtualTokens">> {
  const { path, out: hidden } = tokenEmbedding(base);
  const count = (tasks[0]?.length ?? 0) / hidden;
  return Promise.resolve({ virtualTokens: { path, count, tasks } });
}
