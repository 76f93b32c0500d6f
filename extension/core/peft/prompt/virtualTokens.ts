import type { Shape } from "../../base/shape.ts";
import type { AdapterEffects } from "../effect.ts";
import type { MethodBase } from "../method.ts";
import type { ModuleTensors } from "../tuner/tensors.ts";
import { misfit } from "../../base/errors.ts";
import { checkSize, type PromptConfig, tokenEmbedding } from "./config.ts";
import type { PromptContext } from "./prompt.ts";

/** Name under which PEFT stores a finished prompt, whatever encoder made it. */
export const storedPrompt = "prompt_embeddings";

/** A prompt of embeddings: one row [token_dim] a virtual token. */
export function promptRows<C extends PromptConfig>({
  config,
  file,
  base,
}: PromptContext<C>): Record<string, Shape> {
  const { out: hidden } = tokenEmbedding(base);
  checkSize("token_dim", { config, own: hidden, file });
  return { [storedPrompt]: [config.num_virtual_tokens, hidden] };
}

/** Rows that go into the model as they are stored. */
export async function storedRows<C extends PromptConfig>(
  { base }: PromptContext<C>,
  tensors: ModuleTensors,
): Promise<Partial<AdapterEffects>> {
  return virtualTokens(base, [tensors.values(storedPrompt)]);
}

/** The effect of embeddings [count, hidden], one a task, before every prompt. */
export async function virtualTokens(
  base: MethodBase,
  embeddings: readonly Float32Array[],
): Promise<Pick<AdapterEffects, "virtualTokens">> {
  const { path, out: hidden } = tokenEmbedding(base);
  const origin = await base.readRow(`${path}.weight`, 0);
  if (!origin) throw misfit(`The base has no tensor "${path}.weight", which the adapter needs.`);
  const tasks = embeddings.map((rows) =>
    rows.map((value, i) => value - (origin[i % hidden] as number)),
  );
  return { virtualTokens: { path, count: (tasks[0]?.length ?? 0) / hidden, tasks } };
}
