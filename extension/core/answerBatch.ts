import { t } from "@vscode/l10n";
import { badRequest } from "./base/errors.ts";
import type { BaseInputs } from "./baseSession.ts";
import {
  type Answer,
  type AnswerOptions,
  type Prompt,
  promptTokenizer,
  stopTokens,
} from "./answer.ts";
import type { ActiveAdapter, PeftModel } from "./peftModel.ts";
import { generateBatch } from "./tokens/generateBatch.ts";
import { greedy } from "./tokens/sampler.ts";
import { TextStream } from "./tokens/textStream.ts";

export interface AnswerBatchOptions extends Omit<AnswerOptions, "adapters" | "onText"> {
  /**
   * For each prompt an adapter's name, "__base__" for none, or a weighted set; the active ones for
   * all when absent.
   */
  readonly rows?: readonly (string | readonly ActiveAdapter[])[];
  /** A row's whole text so far, with each of its tokens. */
  readonly onText?: (row: number, text: string, tokens: number) => void;
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
  const inputs: BaseInputs = rows ? model.inputsOfRows(rows) : model.inputsOf(active);
  const ids = prompts.map((prompt, i) => model.encode(prompt, adapters[i]));
  const streams = adapters.map((own) => new TextStream(promptTokenizer(model, own)));
  const counts = new Map<number, number>();
  const generated = await base.session.with(inputs, (session) =>
    generateBatch(
      session,
      { prompts: ids, adapters: inputs },
      {
        sampling,
        maxNewTokens,
        stopTokens: adapters.map((own) => stopTokens(model, own)),
        onToken: (row, id) => {
          const stream = streams[row] as TextStream;
          stream.push(id);
          const count = (counts.get(row) ?? 0) + 1;
          counts.set(row, count);
          options.onText?.(row, stream.text, count);
        },
        ...(signal && { signal }),
      },
    ),
  );
  return generated.map((each, i) => ({
    ...each,
    text: (streams[i] as TextStream).finish(),
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
