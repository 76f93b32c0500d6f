import { t } from "@vscode/l10n";
import { badRequest } from "./base/errors.ts";
import type { BaseInputs } from "./baseSession.ts";
import {
  type Answer,
  type AnswerOptions,
  answerWriter,
  type Prompt,
  promptTokenizer,
  stopTokens,
  written,
} from "./answer.ts";
import { withDraftModel } from "./draftModel.ts";
import type { PeftModel } from "./peftModel.ts";
import type { ActiveAdapter } from "./loadedAdapters.ts";
import type { AnswerWriter } from "./tokens/answerWriter.ts";
import { generateBatch } from "./tokens/generateBatch.ts";
import { greedy } from "./tokens/sampler.ts";

export interface AnswerBatchOptions extends Omit<AnswerOptions, "adapters" | "live" | "onText"> {
  /**
   * For each prompt an adapter's name, "__base__" for none, or a weighted set; the active ones for
   * all when absent.
   */
  readonly rows?: readonly (string | readonly ActiveAdapter[])[];
  /** A row's whole text so far, with each of its tokens. */
  readonly onText?: (row: number, text: string, tokens: number) => void;
  /** The same with all that is known of the row; valid during the call. */
  readonly onToken?: (row: number, writer: AnswerWriter) => void;
  readonly onEnd?: (row: number, writer: AnswerWriter, finish: Answer["finish"]) => void;
  /** What `rows` feed, where that is made already. */
  readonly inputs?: BaseInputs | null;
  /** Inputs of the tokens to come, asked before each. */
  readonly adaptersNow?: () => BaseInputs;
}

/** Answers several prompts in one pass a token (PEFT's generate with `adapter_names`). */
export async function answerBatch(
  model: PeftModel,
  prompts: readonly Prompt[],
  options: AnswerBatchOptions,
): Promise<Answer[]> {
  const { rows, sampling = greedy, maxNewTokens = 256, signal } = options;
  if (prompts.length === 0) throw badRequest(t("There is no prompt to answer."));
  if (rows && rows.length !== prompts.length) {
    throw badRequest(t("{0} prompts have adapters for {1} rows.", prompts.length, rows.length));
  }
  const { base } = model;
  const active = model.currentAdapters;
  const adapters = prompts.map((_, i) => adaptersOf(rows?.[i], active));
  const inputs: BaseInputs =
    options.inputs ?? (rows ? model.inputsOfRows(rows) : model.inputsOf(active));
  const ids = prompts.map((prompt, i) => model.encode(prompt, adapters[i]));
  const writers = prompts.map((prompt, i) =>
    answerWriter(model, { prompt, adapters: adapters[i] as readonly ActiveAdapter[] }, options),
  );
  const writerOf = (row: number): AnswerWriter => writers[row] as AnswerWriter;
  // Rows of a batch are not drafted for: what a pass over several tokens has to spare they use already.
  const draftModel =
    prompts.length > 1 || options.speculation === "off" ? null : (options.draftModel ?? null);
  const tokenizer = promptTokenizer(model, adapters[0] as readonly ActiveAdapter[]);
  const generated = await withDraftModel(
    { base, tokenizer, draftModel },
    inputs,
    (session, draft) =>
      generateBatch(
        session,
        { prompts: ids, adapters: inputs },
        {
          sampling,
          maxNewTokens,
          stopTokens: adapters.map((own) => stopTokens(model, own)),
          constraints: writers.map(({ constraint }) => constraint),
          onToken: (row, id, logits) => {
            const writer = writerOf(row);
            writer.push(id, logits);
            options.onText?.(row, writer.text, writer.length);
            options.onToken?.(row, writer);
          },
          isEnd: (row) => writerOf(row).isEnd,
          onEnd: (row, finish) => {
            writerOf(row).finish();
            options.onEnd?.(row, writerOf(row), finish);
          },
          draft,
          ...(options.reuse === false && { reuse: false }),
          ...(options.speculation && { speculation: options.speculation }),
          ...(options.adaptersNow && { adaptersNow: options.adaptersNow }),
          ...(signal && { signal }),
        },
      ),
  );
  return generated.map((each, i) => ({
    ...each,
    ...written(writerOf(i)),
    promptTokens: (ids[i] as number[]).length,
    adapters: adapters[i] as readonly ActiveAdapter[],
  }));
}

function adaptersOf(
  row: string | readonly ActiveAdapter[] | undefined,
  active: readonly ActiveAdapter[],
): readonly ActiveAdapter[] {
  if (typeof row !== "string") return row ?? active;
  return row === "__base__" ? [] : [{ name: row, weight: 1 }];
}
