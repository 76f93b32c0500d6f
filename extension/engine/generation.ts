import { t } from "@vscode/l10n";
import { badRequest, notFound } from "../core/base/errors.ts";
import type { Answer } from "../core/answer.ts";
import { type AdapterChange, ColumnsRun } from "../core/answerColumns.ts";
import type { PeftModel } from "../core/peftModel.ts";
import type { ActiveAdapter as CoreAdapter } from "../core/loadedAdapters.ts";
import type { AnswerWriter, WrittenToken } from "../core/tokens/answerWriter.ts";
import { toolFormatOf } from "../core/tokens/toolCalls.ts";
import type { Vocabulary } from "../core/tokens/vocabulary.ts";
import type { HandlerContext, Handlers } from "../protocol/connection.ts";
import type { ActiveAdapter } from "../protocol/engineContract.ts";
import type {
  ColumnSnapshot,
  GenerateColumnsEvent,
  GenerateColumnsParams,
  GenerateColumnsResult,
  GenerateEvent,
  GenerateResult,
  GenerationContract,
  PromptParams,
  RenderedPrompt,
  TokenDetail,
} from "../protocol/generationContract.ts";
import type { Library } from "./library.ts";

/** A run of columns under way, and where each column stands in it. */
interface Run {
  readonly run: ColumnsRun;
  readonly ids: readonly string[];
}

/** What the engine answers about answers, one or side by side, and prompts as a model reads them. */
export function generationHandlers(library: Library): Handlers<GenerationContract> {
  const runs = new Map<string, Run>();
  return {
    generate: async ({ base, prompt, adapters, sampling }, { emit, signal }) => {
      let firstToken = 0;
      const report = (text: string, tokens: number): GenerateEvent => {
        const now = performance.now();
        if (tokens === 1) firstToken = now;
        const tokensPerSecond = tokens > 1 ? ((tokens - 1) * 1000) / (now - firstToken) : 0;
        return { text, tokens, tokensPerSecond };
      };
      const model = library.require(base);
      const answer = await model.answer(prompt, {
        ...(await library.readingOf(model, signal)),
        sampling,
        adapters,
        maxNewTokens: sampling.maxNewTokens,
        onText: (text, tokens) => emit(report(text, tokens)),
        signal,
      });
      return generateResult(answer);
    },
    generateColumns: async (params, context) => {
      const model = library.require(params.base);
      if (runs.has(params.run))
        throw badRequest(t('A run "{0}" is under way already.', params.run));
      try {
        return await runColumns(model, params, {
          ...context,
          reading: await library.readingOf(model, context.signal),
          onStart: (run) => runs.set(params.run, run),
        });
      } finally {
        runs.delete(params.run);
      }
    },
    setReading: (params) => {
      library.setReading(params);
      return null;
    },
    setColumnAdapters: ({ run, column, adapters }) => {
      const under = runs.get(run);
      if (!under) return { from: null };
      const place = under.ids.indexOf(column);
      if (place === -1) throw badRequest(t('The run "{0}" has no column "{1}".', run, column));
      return { from: under.run.setAdapters(place, adapters) };
    },
    renderPrompt: (params) => renderPrompt(library.require(params.base), params),
    countTokens: ({ base, prompt, adapters }) => ({
      count: library.require(base).encode(prompt, adapters).length,
    }),
  };
}

/** An answer as it crosses to the host. */
function generateResult(answer: Answer): GenerateResult {
  const { text, ids, tokensPerSecond, promptTokens, finish, seed, reusedTokens } = answer;
  const { drafted, accepted } = answer.speculation;
  return {
    ...{ text, tokens: ids.length, tokensPerSecond, promptTokens, finish, seed },
    seconds: answer.prefillSeconds + answer.decodeSeconds,
    adapters: plainAdapters(answer.adapters),
    ...(reusedTokens + accepted > 0 && { saved: { reusedTokens, drafted, accepted } }),
    ...(answer.stoppedBy !== null && { stoppedBy: answer.stoppedBy }),
    ...(answer.toolCalls.length > 0 && { toolCalls: [...answer.toolCalls] }),
  };
}

function plainAdapters(adapters: readonly CoreAdapter[]): ActiveAdapter[] {
  return adapters.map(({ name, weight, task }) => ({
    name,
    weight,
    ...(typeof task === "number" && { task }),
  }));
}

async function runColumns(
  model: PeftModel,
  { columns, prompt, sampling, topAlternatives }: GenerateColumnsParams,
  {
    emit,
    signal,
    reading,
    onStart,
  }: HandlerContext<GenerateColumnsEvent> & {
    reading: Awaited<ReturnType<Library["readingOf"]>>;
    onStart: (run: Run) => void;
  },
): Promise<GenerateColumnsResult> {
  const started = performance.now();
  const ids = columns.map(({ id }) => id);
  if (new Set(ids).size < ids.length) throw badRequest(t("Two columns have the same id."));
  const asked = columns.map((column) => {
    const own = column.prompt ?? prompt;
    if (!own) throw notFound(t("A prompt"), t("column {0}", column.id));
    return { prompt: own, adapters: column.adapters };
  });
  const drawn = columns.map(
    ({ id, adapters }) => new DrawnColumn(id, model.tokenizerFor(adapters)?.vocabulary ?? null),
  );
  const report = (): void => {
    emit({ columns: drawn.map((column) => column.snapshot()), oneByOne: run.oneByOne });
    for (const column of drawn) column.forget();
  };
  const run = new ColumnsRun(model, asked, {
    sampling,
    maxNewTokens: sampling.maxNewTokens,
    topAlternatives,
    reading,
    signal,
    onToken: (place, writer) => {
      drawn[place]?.take(writer);
      report();
    },
    onEnd: (place, writer, finish) => {
      drawn[place]?.take(writer, finish);
      report();
    },
  });
  onStart({ run, ids });
  const answers = await run.run();
  return {
    columns: answers.map((answer, i) => ({
      id: ids[i] as string,
      ...generateResult(answer),
      changes: answer.changes.map(plainChange),
      ...(topAlternatives !== undefined && {
        details: (drawn[i] as DrawnColumn).describe(answer.tokens),
      }),
    })),
    seed: run.seed,
    seconds: (performance.now() - started) / 1000,
    oneByOne: run.oneByOne,
  };
}

function plainChange({ from, adapters }: AdapterChange): {
  from: number;
  adapters: ActiveAdapter[];
} {
  return { from, adapters: plainAdapters(adapters) };
}

/** A column as its reader knows it, and what has come since. */
class DrawnColumn {
  private last: Omit<ColumnSnapshot, "newTokens">;
  private firstToken = 0;
  private told = 0;
  private fresh: TokenDetail[] = [];

  constructor(
    id: string,
    private readonly vocabulary: Vocabulary | null,
  ) {
    this.last = { id, text: "", tokens: 0, tokensPerSecond: 0, finish: null };
  }

  take(writer: AnswerWriter, finish: GenerateResult["finish"] | null = null): void {
    const now = performance.now();
    const { length: tokens } = writer;
    if (tokens === 1 && this.last.tokens === 0) this.firstToken = now;
    const { id } = this.last;
    const seconds = (now - this.firstToken) / 1000;
    const tokensPerSecond =
      finish === null && tokens > 1 ? (tokens - 1) / seconds : this.last.tokensPerSecond;
    this.last = { id, text: writer.text, tokens, tokensPerSecond, finish };
    this.fresh.push(...this.describe(writer.written(this.told + this.fresh.length)));
  }

  snapshot(): ColumnSnapshot {
    if (this.fresh.length === 0) return this.last;
    return { ...this.last, newTokens: { from: this.told, tokens: this.fresh } };
  }

  /** What was told is not told again. */
  forget(): void {
    this.told += this.fresh.length;
    this.fresh = [];
  }

  describe(tokens: readonly WrittenToken[]): TokenDetail[] {
    const label = (id: number): string => this.vocabulary?.label(id) ?? "";
    return tokens.map(({ id, probability, piece, likeliest }) => ({
      ...{ id, text: label(id), probability, piece },
      alternatives: likeliest.map((each) => ({ ...each, text: label(each.id) })),
    }));
  }
}

function renderPrompt(model: PeftModel, { prompt, adapters }: PromptParams): RenderedPrompt {
  const { text, ids, pieces } = model.renderPrompt(prompt, adapters);
  const tokenizer = model.tokenizerFor(adapters);
  return {
    text,
    tokens: ids.map((id, i) => ({ id, text: pieces[i] ?? "" })),
    count: ids.length,
    contextLength: model.base.session.model.contextLength,
    toolFormat: toolFormatOf(tokenizer?.chatTemplate ?? null),
  };
}
