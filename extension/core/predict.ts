import { t } from "@vscode/l10n";
import { badRequest, throwIfAborted, unsupported } from "./base/errors.ts";
import { promptTokenizer } from "./answer.ts";
import { readPixels } from "./images/pixels.ts";
import { labelNames } from "./models/labels.ts";
import { headOf, type Task } from "./models/model.ts";
import type { PeftModel } from "./peftModel.ts";
import type { ActiveAdapter } from "./loadedAdapters.ts";
import type { HeadOutput } from "./session/runningSession.ts";
import type { EncodedPair, Tokenizer } from "./tokens/tokenizer.ts";

/**
 * A text, or two that belong together: sentences to compare, a question and where to look; or an
 * image's file (PNG).
 */
export type PredictInput = TextInput | { readonly image: string };

type TextInput = string | { readonly text: string; readonly pair: string };

export interface PredictOptions {
  /** Adapters for this prediction alone; the active ones when absent. */
  readonly adapters?: readonly ActiveAdapter[];
  readonly signal?: AbortSignal;
}

/** A label and how likely it is, 0 to 1; of a regression its value. */
export interface Score {
  readonly label: string;
  readonly score: number;
}

/** What a model that does not write text says of one. */
export type Prediction =
  /** Most likely first. `kind` of the scores: they add up to 1, stand for themselves, or are values. */
  | {
      readonly task: "sequence-classification" | "image-classification";
      readonly scores: readonly Score[];
      readonly of: "classes" | "labels" | "values";
    }
  /** One for each token that is not a special one. */
  | {
      readonly task: "token-classification";
      readonly tokens: readonly (Score & { token: string })[];
    }
  /** The likeliest span of the second text; empty where there is none. */
  | { readonly task: "question-answering"; readonly answer: string; readonly score: number }
  /** Mean of the last stream over all tokens, and the first token's. */
  | {
      readonly task: "feature-extraction";
      readonly mean: Float32Array;
      readonly first: Float32Array;
    };

/** The longest span that is taken for an answer, in tokens (transformers' pipeline has 15). */
const longestAnswer = 15;

/**
 * Asks a model with a head what it says of texts.
 * @throws unsupported for a base that writes text, or reads images
 */
export async function predict(
  model: PeftModel,
  inputs: readonly PredictInput[],
  { adapters = model.currentAdapters, signal }: PredictOptions = {},
): Promise<Prediction[]> {
  if (inputs.length === 0) throw badRequest(t("There is no text to predict anything of."));
  const { task } = headOf(model.base.session.model);
  if (model.base.session.model.kind === "image") return predictImages(model, inputs, adapters);
  const read = readers[task];
  if (!read) {
    throw unsupported(t("Graft makes no predictions of texts with a model for {0} yet", task));
  }
  const tokenizer = promptTokenizer(model, adapters);
  const own = model.inputsOf(adapters);
  const predictions: Prediction[] = [];
  for (const input of inputs) {
    throwIfAborted(signal);
    if (typeof input !== "string" && "image" in input) {
      throw badRequest(t("This base reads text, not images ({0}).", input.image));
    }
    const [text, pair] = typeof input === "string" ? [input] : [input.text, input.pair];
    const encoded = tokenizer.encodePair(text, pair);
    const { ids, tokenTypes } = encoded;
    const batch = { kind: "tokens", ids: [ids], tokenTypes: [tokenTypes] } as const;
    const output = await model.base.session.predict(batch, own);
    predictions.push(read(output, { model, tokenizer, encoded, virtual: own.virtualTokens }));
  }
  return predictions;
}

/** Labels of images, or what the model's stream says of them. */
async function predictImages(
  model: PeftModel,
  inputs: readonly PredictInput[],
  adapters: readonly ActiveAdapter[],
): Promise<Prediction[]> {
  const { session, checkpoint } = model.base;
  if (session.model.kind !== "image") return [];
  const { imageSize } = session.model;
  const predictions: Prediction[] = [];
  for (const input of inputs) {
    if (typeof input === "string" || !("image" in input)) {
      throw badRequest(t("This base reads images, not text: give { image } with a PNG file."));
    }
    const { values, height, width } = await readPixels(input.image, {
      dir: checkpoint.dir,
      imageSize,
    });
    const shape = [1, 3, height, width] as const;
    const output = await session.predict(
      { kind: "pixels", values, shape },
      model.inputsOf(adapters),
    );
    predictions.push(
      headOf(session.model).task === "image-classification"
        ? readClasses(output.data, model, "image-classification")
        : readFeatures(output),
    );
  }
  return predictions;
}

interface Context {
  readonly model: PeftModel;
  readonly tokenizer: Tokenizer;
  readonly encoded: EncodedPair;
  /** Tokens that an adapter put in front. */
  readonly virtual: number;
}

const readers: Partial<Record<Task, (output: HeadOutput, at: Context) => Prediction>> = {
  "sequence-classification": ({ data }, { model }) => readClasses(data, model),
  "token-classification": readTokens,
  "question-answering": readSpan,
  "feature-extraction": readFeatures,
};

function readFeatures({ data, shape: [, rows, width] }: HeadOutput): Prediction {
  const mean = new Float32Array(width);
  data.forEach((value, i) => {
    mean[i % width] = (mean[i % width] as number) + value / rows;
  });
  return { task: "feature-extraction", mean, first: data.slice(0, width) };
}

/** As transformers' text-classification pipeline: by `problem_type`, else by how many labels there are. */
function readClasses(
  logits: Float32Array,
  { base }: PeftModel,
  task: "sequence-classification" | "image-classification" = "sequence-classification",
): Prediction {
  const { config } = base.checkpoint;
  const names = labelNames(config);
  const problem = config.raw["problem_type"];
  const of =
    problem === "regression"
      ? "values"
      : problem === "multi_label_classification" || logits.length === 1
        ? "labels"
        : "classes";
  const values = {
    values: () => [...logits],
    labels: () => [...logits].map((value) => 1 / (1 + Math.exp(-value))),
    classes: () => softmax(logits),
  }[of]();
  const scores = values
    .map((score, i) => ({ label: names[i] ?? `LABEL_${i}`, score }))
    .sort((a, b) => b.score - a.score);
  return { task, scores, of };
}

function readTokens({ data, shape }: HeadOutput, at: Context): Prediction {
  const names = labelNames(at.model.base.checkpoint.config);
  const [, , width] = shape;
  const tokens = at.encoded.ids.flatMap((id, place) => {
    // Special tokens have no text.
    const token = at.tokenizer.decode([id]);
    if (token === "") return [];
    const start = (at.virtual + place) * width;
    const values = softmax(data.subarray(start, start + width));
    const best = values.indexOf(Math.max(...values));
    return [{ token, label: names[best] ?? `LABEL_${best}`, score: values[best] as number }];
  });
  return { task: "token-classification", tokens };
}

/** The span of the second text with the largest product of both ends' probabilities. */
function readSpan({ data }: HeadOutput, at: Context): Prediction {
  const { encoded, virtual, tokenizer } = at;
  const { ids, pairStart, pairEnd } = encoded;
  const rows = ids.map((_, place) => place);
  const isContext = (place: number): boolean =>
    pairEnd === 0 || (place >= pairStart && place < pairEnd);
  const ends = ([0, 1] as const).map((end) =>
    softmax(
      Float32Array.from(rows, (place) =>
        isContext(place) ? (data[(virtual + place) * 2 + end] as number) : -Infinity,
      ),
    ),
  ) as [number[], number[]];
  let best = { start: 0, end: -1, score: 0 };
  for (const start of rows) {
    for (let end = start; end < Math.min(ids.length, start + longestAnswer); end++) {
      const score = (ends[0][start] as number) * (ends[1][end] as number);
      if (score > best.score) best = { start, end, score };
    }
  }
  const answer = tokenizer.decode(ids.slice(best.start, best.end + 1)).trim();
  return { task: "question-answering", answer, score: best.score };
}

function softmax(logits: Float32Array): number[] {
  const largest = Math.max(...logits);
  const weights = [...logits].map((value) => Math.exp(value - largest));
  const sum = weights.reduce((total, value) => total + value, 0);
  return weights.map((value) => value / sum);
}
