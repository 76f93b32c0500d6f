import { loadBaseModel } from "../core/baseModel.ts";
import { badRequest } from "../core/base/errors.ts";
import { headOf } from "../core/models/model.ts";
import { PeftModel } from "../core/peftModel.ts";
import type { Answer } from "../core/answer.ts";
import type { Prediction } from "../core/predict.ts";
import { baseOf, loadAdapters, sayWarnings } from "./adapters.ts";
import { showTransfers } from "./progress.ts";
import { readArguments, readNumber, readWeighted } from "./arguments.ts";
import { precisionOptions, readPrecision, sayPrecision } from "./precision.ts";

const options = {
  base: { type: "string" },
  adapter: { type: "string", multiple: true },
  prompt: { type: "string" },
  pair: { type: "string" },
  image: { type: "string" },
  text: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  "allow-partial": { type: "boolean", default: false },
  revision: { type: "string" },
  subfolder: { type: "string" },
  "max-tokens": { type: "string" },
  temperature: { type: "string" },
  "top-p": { type: "string" },
  "top-k": { type: "string" },
  seed: { type: "string" },
  ...precisionOptions,
} as const;

/**
 * Answers one prompt with a base and any adapters; streams text, or prints one JSON object. An
 * adapter's folder may stand for the base that it was trained on.
 */
export async function run(args: string[], signal: AbortSignal): Promise<void> {
  const { values, positionals } = readArguments(args, options);
  const { json } = values;
  const { named, adapters, prompt } = readRequest(values, positionals);
  const allowPartial = values["allow-partial"];
  const folder = named ?? (await baseOf(adapters[0], "run"));
  const [forAdapter] = adapters;
  const base = await loadBaseModel(folder, {
    revision: values.revision,
    subfolder: values.subfolder,
    ...readPrecision(values),
    onProgress: showTransfers(),
    ...(forAdapter !== undefined && { forAdapter: readWeighted(forAdapter).folder }),
    allowPartial,
    signal,
  });
  sayPrecision(base);
  sayWarnings(folder, base.warnings);
  const model = new PeftModel(base);
  for (const { warnings } of model.adapters) sayWarnings(folder, warnings);
  const added = await loadAdapters(model, adapters, { allowPartial, signal });
  model.setAdapter([...model.activeAdapters, ...added]);
  if (headOf(base.session.model).task !== "language-modeling") {
    const { pair, image } = values;
    const text = pair === undefined ? prompt : { text: prompt, pair };
    const input = image === undefined ? text : { image };
    const [prediction] = await model.predict([input], { signal });
    process.stdout.write(
      json ? `${toText(prediction)}\n` : sayPrediction(prediction as Prediction),
    );
    return;
  }
  if (values.pair !== undefined || values.image !== undefined) {
    throw badRequest("--pair and --image are for models that label or find, and this one writes.");
  }
  const content = { role: "user", content: prompt } as const;
  const isChat = !values.text && (model.tokenizerFor()?.chatTemplate ?? null) !== null;
  let shown = "";
  const answer = await model.answer(
    isChat ? { kind: "chat", messages: [content] } : { kind: "text", text: prompt },
    {
      maxNewTokens: readNumber(values["max-tokens"], "max-tokens", 256),
      sampling: {
        temperature: readNumber(values.temperature, "temperature", 0),
        topP: readNumber(values["top-p"], "top-p", 1),
        topK: readNumber(values["top-k"], "top-k", 0),
        repetitionPenalty: 1,
        seed: values.seed === undefined ? null : readNumber(values.seed, "seed", 0),
      },
      onText: (text) => {
        if (!json) process.stdout.write(text.slice(shown.length));
        shown = text;
      },
      signal,
    },
  );
  if (json) process.stdout.write(`${JSON.stringify(toJson(model, answer), null, 2)}\n`);
  else process.stdout.write(`${answer.text.slice(shown.length)}\n`);
}

function toText(value: unknown): string {
  const plain = (_: string, each: unknown): unknown =>
    each instanceof Float32Array ? [...each] : each;
  return JSON.stringify(value, plain, 2);
}

function sayPrediction(prediction: Prediction): string {
  const lines = ({ label, score }: { label: string; score: number }): string =>
    `${score.toFixed(4)}  ${label}\n`;
  switch (prediction.task) {
    case "sequence-classification":
    case "image-classification":
      return prediction.scores.map(lines).join("");
    case "token-classification":
      return prediction.tokens
        .map((each) => lines({ ...each, label: `${each.label}  ${each.token}` }))
        .join("");
    case "question-answering":
      return lines({ label: prediction.answer, score: prediction.score });
    case "feature-extraction":
      return `${toText(prediction.mean)}\n`;
  }
}

/**
 * `run [MODEL] [PROMPT]`: what --base or --prompt says need not stand in its place. Beside --base the
 * model is an adapter for it.
 */
function readRequest(
  {
    base,
    prompt,
    image,
    adapter = [],
  }: { base?: string; prompt?: string; image?: string; adapter?: string[] },
  positionals: readonly string[],
): { named: string | undefined; adapters: string[]; prompt: string } {
  const rest = [...positionals];
  const text = prompt ?? image ?? rest.pop();
  const model = rest.shift();
  const isComplete = base !== undefined || model !== undefined || adapter.length > 0;
  if (text === undefined || rest.length > 0 || !isComplete) {
    throw badRequest("run needs a model (a base or an adapter) and a prompt: run MODEL PROMPT.");
  }
  const isAdapter = base !== undefined && model !== undefined;
  const adapters = isAdapter ? [...adapter, model] : adapter;
  return { named: base ?? model, adapters, prompt: text };
}

function toJson(model: PeftModel, answer: Answer): object {
  const { text, ids, finish, seed, promptTokens, prefillSeconds, tokensPerSecond } = answer;
  return {
    base: model.base.checkpoint.dir,
    loadSeconds: model.base.loadSeconds,
    precision: model.base.precision,
    adapters: model.adapters.map(
      ({ checkpoint, report, weights, attachSeconds, name, warnings }) => ({
        path: checkpoint.dir,
        weight: answer.adapters.find((each) => each.name === name)?.weight ?? 0,
        bound: report.bound.length,
        total: report.total,
        parameters: weights.parameters,
        attachSeconds,
        warnings,
      }),
    ),
    text,
    ids,
    finish,
    seed,
    promptTokens,
    prefillSeconds,
    tokensPerSecond,
  };
}
