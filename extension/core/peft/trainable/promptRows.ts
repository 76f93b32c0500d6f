/** Virtual tokens as embeddings: rows that stand where the table's rows of as many placeholders would. */
import { t } from "@vscode/l10n";
import { badRequest, misfit } from "../../base/errors.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import type { LayerHook } from "../../onnx/layerHook.ts";
import { type PromptConfig, submodules, tokenEmbedding } from "../prompt/config.ts";
import type { PromptContext, PromptValues } from "./promptForm.ts";
import type { InitializeOptions } from "./trainable.ts";

/** Fields of PEFT that a prompt of rows takes from the base. */
export function rowFields({ base }: PromptContext<PromptConfig>): { token_dim: number } {
  return { token_dim: tokenEmbedding(base).out };
}

/** Rows of a prompt: of a base with encoder and decoder twice as many, though the second half may be read by nothing. */
export function rowCount(context: PromptContext<PromptConfig>): number {
  return context.config.num_virtual_tokens * submodules(context.config, context);
}

/** One prompt [rows, hidden] before every text: its first virtual tokens. */
export function beforeTokens(
  context: PromptContext<PromptConfig>,
  { prompt }: PromptValues,
): Pick<LayerHook, "embedding"> {
  const { num_virtual_tokens: count } = context.config;
  const { out: hidden } = tokenEmbedding(context.base);
  return beforeEach(context, (g, rows) => {
    const whole = prompt(g);
    const own = rowCount(context) === count ? whole : part(g, whole, { from: 0, count, axis: 0 });
    return g.repeatRows(g.unsqueeze(own, 0), rows, [count, hidden]);
  });
}

/** Some of a value's rows along an axis. */
export function part(
  g: GraphBuilder,
  x: Value,
  { from, count, axis }: { from: number; count: number; axis: number },
): Value {
  return g.node("Slice", [x, g.int64s([from]), g.int64s([from + count]), g.int64s([axis])])[0];
}

/**
 * The rows of as many placeholders replaced.
 * @param promptsOf makes [batch, virtual tokens, hidden] for rows [batch, seq, hidden]
 * @param at.answers does the same before a decoder's answer; nothing stands there without it
 */
export function beforeEach(
  { config, base }: PromptContext<PromptConfig>,
  promptsOf: (g: GraphBuilder, rows: Value) => Value,
  at: { answers?: (g: GraphBuilder, rows: Value) => Value } = {},
): Pick<LayerHook, "embedding"> {
  const { path: table, scale = 1 } = tokenEmbedding(base);
  const { num_virtual_tokens: count } = config;
  return {
    embedding: (g, path, { rows, isAnswer = false }) => {
      const make = isAnswer ? at.answers : promptsOf;
      if (path !== table || !make) return rows;
      const own = make(g, rows);
      const end = g.int64s([2 ** 31]);
      const [others] = g.node("Slice", [rows, g.int64s([count]), end, g.int64s([1])]);
      // A prompt stands behind the module, whose scale all of its rows go through.
      return g.concat([g.scale(own, 1 / scale), others], 1);
    },
  };
}

/** Rows that the base's embedding gives, [ids, hidden]. */
export async function tableRows(
  { base }: PromptContext<PromptConfig>,
  ids: readonly number[],
): Promise<Float32Array> {
  const { path, in: rows, out: hidden, scale = 1 } = tokenEmbedding(base);
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
  return scale === 1 ? out : out.map((value) => value * scale);
}

/** A text's ids, cut or repeated to so many (PEFT tuners/prompt_tuning/model.py). */
export async function textIds(
  context: PromptContext<PromptConfig>,
  { tokenize }: InitializeOptions,
): Promise<number[]> {
  const { config, file } = context;
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
  return Array.from({ length: rowCount(context) }, (_, i) => ids[i % ids.length] as number);
}
