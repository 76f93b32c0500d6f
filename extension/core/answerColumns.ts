import { t } from "@vscode/l10n";
import { badRequest, GraftError, unsupported } from "./base/errors.ts";
import { freshSeed } from "./base/random.ts";
import type { BaseInputs } from "./baseSession.ts";
import type { Answer, AnswerOptions, Prompt } from "./answer.ts";
import type { PeftModel } from "./peftModel.ts";
import type { ActiveAdapter } from "./loadedAdapters.ts";
import type { AnswerWriter } from "./tokens/answerWriter.ts";
import { greedy, type Sampling } from "./tokens/sampler.ts";

export interface Column {
  readonly prompt: Prompt;
  /** [] is the bare base. */
  readonly adapters: readonly ActiveAdapter[];
}

export interface ColumnsOptions {
  readonly sampling?: Sampling;
  readonly maxNewTokens?: number;
  readonly topAlternatives?: number | undefined;
  /** How tokens are read ahead; of columns in one batch none are. */
  readonly reading?: Pick<AnswerOptions, "speculation" | "draftModel">;
  /** After each token of a column; the writer is valid during the call. */
  readonly onToken?: (column: number, writer: AnswerWriter) => void;
  /** Also before its end is known of the others. */
  readonly onEnd?: (column: number, writer: AnswerWriter, finish: Answer["finish"]) => void;
  readonly signal?: AbortSignal;
}

/** Adapters that took part from a token on. */
export interface AdapterChange {
  readonly from: number;
  readonly adapters: readonly ActiveAdapter[];
}

export interface ColumnAnswer extends Answer {
  readonly changes: readonly AdapterChange[];
}

/** What is known of a column while it is answered. */
interface Running {
  readonly prompt: Prompt;
  readonly first: readonly ActiveAdapter[];
  adapters: readonly ActiveAdapter[];
  tokens: number;
  hasEnded: boolean;
  readonly changes: AdapterChange[];
}

/**
 * Answers prompts side by side with adapters of their own, one batch a token, and lets adapters be
 * changed on the way. What cannot act in single rows of a batch is run one column after another.
 */
export class ColumnsRun {
  /** Why the columns run one after another; "" where they are one batch. */
  readonly oneByOne: string;
  readonly seed: number;
  private readonly columns: readonly Running[];
  /** Of the columns whose turn it is. */
  private inputs: BaseInputs | null = null;
  /** Columns whose turn it is. */
  private under: readonly number[] = [];

  /** @throws when a column's adapters cannot act, be it alone; bad-request without columns */
  constructor(
    private readonly model: PeftModel,
    columns: readonly Column[],
    private readonly options: ColumnsOptions,
  ) {
    if (columns.length === 0) throw badRequest(t("There is no column to answer."));
    this.seed = options.sampling?.seed ?? freshSeed();
    this.columns = columns.map(({ prompt, adapters }) => ({
      ...{ prompt, adapters, first: adapters, tokens: 0, hasEnded: false, changes: [] },
    }));
    for (const { adapters } of columns) model.inputsOf(adapters);
    this.oneByOne = columns.length === 1 ? "" : this.refusalOf(columns);
  }

  async run(): Promise<ColumnAnswer[]> {
    const all = this.columns.map((_, i) => i);
    const turns = this.oneByOne === "" ? [all] : all.map((i) => [i]);
    const answers: ColumnAnswer[] = [];
    for (const turn of turns) answers.push(...(await this.answer(turn)));
    return answers;
  }

  /**
   * Other adapters or weights for a column from its next token on; what was read stays in the cache as
   * it was read.
   * @returns how many tokens it had said; null when it has ended
   * @throws unsupported when they cannot act beside the other columns'; the run goes on as it was
   */
  setAdapters(column: number, adapters: readonly ActiveAdapter[]): number | null {
    const own = this.columns[column];
    if (!own) throw badRequest(t("There is no column {0}.", column));
    if (own.hasEnded) return null;
    if (this.under.includes(column)) {
      const rows = this.under.map((i) => (i === column ? adapters : this.adaptersOf(i)));
      const inputs = this.model.inputsOfRows(rows);
      if (this.inputs && !isForSession(inputs, this.inputs)) {
        throw unsupported(
          t(
            "The model has been built anew for an adapter that was loaded meanwhile: adapters of an answer under way cannot be changed any more",
          ),
          t("Run it again."),
        );
      }
      this.inputs = inputs;
    } else this.model.inputsOf(adapters);
    own.adapters = adapters;
    own.changes.push({ from: own.tokens, adapters });
    return own.tokens;
  }

  private async answer(turn: readonly number[]): Promise<ColumnAnswer[]> {
    const { options, model } = this;
    const columns = turn.map((i) => this.columns[i] as Running);
    // What a column was changed to before its turn is what it begins with.
    const rows = columns.map(({ adapters }) => adapters);
    this.inputs = model.inputsOfRows(rows);
    this.under = turn;
    const answers = await model.answerBatch(
      columns.map(({ prompt }) => prompt),
      {
        sampling: { ...(options.sampling ?? greedy), seed: this.seed },
        ...(options.maxNewTokens !== undefined && { maxNewTokens: options.maxNewTokens }),
        topAlternatives: options.topAlternatives,
        ...options.reading,
        rows,
        ...(options.signal && { signal: options.signal }),
        onToken: (row, writer) => {
          (columns[row] as Running).tokens = writer.length;
          options.onToken?.(turn[row] as number, writer);
        },
        onEnd: (row, writer, finish) => {
          (columns[row] as Running).hasEnded = true;
          options.onEnd?.(turn[row] as number, writer, finish);
        },
        inputs: this.inputs,
        adaptersNow: () => this.inputs as BaseInputs,
      },
    );
    for (const each of columns) each.hasEnded = true;
    this.under = [];
    return answers.map((each, i) => {
      const { first, changes } = columns[i] as Running;
      return { ...each, adapters: first, changes };
    });
  }

  private adaptersOf(column: number): readonly ActiveAdapter[] {
    return (this.columns[column] as Running).adapters;
  }

  /** Why no batch can hold these columns; "" where one can. */
  private refusalOf(columns: readonly Column[]): string {
    try {
      this.model.inputsOfRows(columns.map(({ adapters }) => adapters));
      return "";
    } catch (error) {
      if (error instanceof GraftError) return error.message;
      throw error;
    }
  }
}

/** Inputs of one session name the same tensors. */
function isForSession(now: BaseInputs, first: BaseInputs): boolean {
  const names = [...first.tensors.keys()];
  return (
    now.order === first.order &&
    now.tensors.size === names.length &&
    names.every((name) => now.tensors.has(name))
  );
}
