/**
 * What a decoder ends with in place of its language head: transformers' Generic…ForSequenceClassification,
 * …TokenClassification, …QuestionAnswering (modeling_layers.py) and the bare stack.
 */
import { z } from "zod";
import { parseFields } from "../base/json.ts";
import type { Value } from "../onnx/graph.ts";
import { tokenDropout } from "./dropout.ts";
import { labelCount } from "./labels.ts";
import type { Task } from "./model.ts";
import type { ModelBuilder } from "./modelBuilder.ts";

const padding = z.looseObject({ pad_token_id: z.int().nullish() });

function paddingOf({ checkpoint: { config } }: ModelBuilder): number | null {
  return parseFields(padding, config.raw, config.file).pad_token_id ?? null;
}

/** A task's linear layer on a decoder's last stream. */
interface DecoderHead {
  readonly path: string;
  readonly out: (m: ModelBuilder) => number;
  readonly hasBias: (m: ModelBuilder) => boolean;
}

const heads: Partial<Record<Task, DecoderHead>> = {
  "sequence-classification": { path: "score", out: labelsOf, hasBias: () => false },
  "token-classification": {
    path: "score",
    out: labelsOf,
    hasBias: (m) => m.checkpoint.config.raw["token_classification_bias"] !== false,
  },
  "question-answering": { path: "qa_outputs", out: () => 2, hasBias: () => true },
};

function labelsOf({ checkpoint }: ModelBuilder): number {
  return labelCount(checkpoint.config);
}

/**
 * Ends a decoder behind its last norm: output `logits` [batch, rows, width] of the rows that the
 * input `logits_rows` asks for.
 * @param at `languageHead`: rows [batch, rows, hidden] → their logits over the vocabulary
 */
export function endDecoder(
  m: ModelBuilder,
  stream: Value,
  { hidden, languageHead }: { hidden: number; languageHead: (rows: Value) => Value },
): void {
  const { g, ending } = m;
  m.hidden(stream, hidden);
  if (ending.kind === "none") return;
  const rows = g.gather(stream, g.input("logits_rows", "int64", ["rows"]), 1);
  const logits =
    ending.kind === "own" ? languageHead(rows) : taskHead(m, rows, { ...ending, hidden });
  g.output(logits, "logits", "float32", ["batch", "rows", "vocabulary"]);
}

function taskHead(
  m: ModelBuilder,
  rows: Value,
  { task, path: own, hidden }: { task: Task; path?: string | undefined; hidden: number },
): Value {
  const head = heads[task];
  if (!head) {
    m.head = { task, width: hidden, paths: [] };
    return rows;
  }
  const [path, out] = [own ?? head.path, head.out(m)];
  m.head = { task, width: out, paths: [path], padding: paddingOf(m) };
  const at = { path, rate: tokenDropout, size: hidden, isApart: true };
  const read = task === "token-classification" ? m.dropout(rows, at) : rows;
  return m.linears(read, [{ kind: "linear", path, in: hidden, out, hasBias: head.hasBias(m) }]);
}
