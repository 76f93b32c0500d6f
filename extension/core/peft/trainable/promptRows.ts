/** Virtual tokens as embeddings: rows that stand where the table's rows of as many placeholders would. */
import { t } from "@vscode/l10n";
import { badRequest, misfit } from "../../base/errors.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import type { LayerHook } from "../../onnx/layerHook.ts";
import { type PromptConfig, tokenEmbedding } from "../prompt/config.ts";
import type { PromptContext, PromptValues } from "./promptForm.ts";
import type { InitializeOptions } from "./trainable.ts";

/** Fields of PEFT that a prompt of rows takes from the base. */
export function rowFields({ base }: PromptContext<PromptConfig>): { token_dim: number } {
  return { token_dim: tokenEmbedding(base).out };
}

/** One prompt [virtual tokens, hidden] before every text. */
export function beforeTokens(
  context: PromptContext<PromptConfig>,
  { prompt }: PromptValues,
): Pick<LayerHook, "embedding"> {
  const { num_virtual_tokens: count } = context.config;
  const { out: hidden } = tokenEmbedding(context.base);
  return beforeEach(context, (g, rows) =>
    g.repeatRows(g.unsqueeze(prompt(g), 0), rows, [count, hidden]),
  );
}

/** @param promptsOf makes [batch, virtual tokens, hidden] for rows [batch, seq, hidden] */
export function beforeEach(
  { config, base }: PromptContext<PromptConfig>,
  promptsOf: (g: GraphBuilder, rows: Value) => Value,
): Pick<LayerHook, "embedding"> {
  return {
    embedding: (g, path, { rows }) => {
      if (path !== tokenEmbedding(base).path) return rows;
      const { num_virtual_tokens: count } = config;
      const own = promptsOf(g, rows);
      const end = g.int64s([2 ** 31]);
      const [others] = g.node("Slice", [rows, g.int64s([count]), end, g.int64s([1])]);
      return g.concat([own, others], 1);
    },
  };
}

/** Rows of the base's table, [ids, hidden]. */
export async function tableRows(
  { base }: PromptContext<PromptConfig>,
  ids: readonly number[],
): Promise<Float32Array> {
  const { path, in: rows, out: hidden } = tokenEmbedding(base);
  const table = await base.readTensor(`${path}.weight`);
  if (!table)
    throw misfit(t('The base has no tensor "{0}", which the adapter needs.', `${path}.weight`));
  const out = new Float32Array(ids.length * hidden);
  for (const [place, id] of ids.entries()) {
    if (id >= rows) {
      throw badRequest(t("Token {0} is not one of the {1} that the model knows.", id, rows));
    }
    out.set(table.subarray(id * hidden, (id + 1) * hidden), place * hidden);
  }
  return out;
}

/** A text's ids, cut or repeated to so many (PEFT tuners/prompt_tuning/model.py). */
export async function textIds(
  { config, file }: PromptContext<PromptConfig>,
  { tokenize }: InitializeOptions,
): Promise<number[]> {
  const text = config["prompt_tuning_init_text"];
  const ids = typeof text === "string" ? await tokenize?.(text) : [];
  if (!ids) {
    throw badRequest(
      t("{0}: a prompt that begins with a text needs the base's tokenizer.json.", file),
    );
  }
  if (ids.length === 0) {
    throw badRequest(t('{0}: field "prompt_tuning_init_text" has no tokens.', file));
  }
  return Array.from({ length: config.num_virtual_tokens }, (_, i) => ids[i % ids.length] as number);
}
