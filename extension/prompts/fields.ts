import { t } from "@vscode/l10n";

/** A key that a prompt file may have. */
export interface Field {
  /** From the root, with "[]" for a list: "messages[].role". */
  readonly path: string;
  readonly meaning: string;
  readonly type: "string" | "number" | "integer" | "boolean" | "array" | "object" | "any";
  readonly values?: readonly string[];
  readonly least?: number;
  readonly most?: number;
  /** Graft's own: other tools pass over it. */
  readonly isOwn?: boolean;
  /** GitHub Models knows it, Graft does not act on it. */
  readonly isUnused?: boolean;
}

export const roles = ["system", "user", "assistant"] as const;
export const formats = ["text", "json_object", "json_schema"] as const;
export const stringRules = ["equals", "contains", "startsWith", "endsWith"] as const;

/** Every known key with what it means; schema, completion and hover are made from this list. */
export function fields(): Field[] {
  const own = true;
  return [
    ...topFields(),
    ...parameterFields(),
    { path: "messages[].role", meaning: t("Who speaks."), type: "string", values: roles },
    {
      path: "messages[].content",
      meaning: t("What is said. {{variable}} stands for a value of each row of testData."),
      type: "string",
    },
    {
      path: "testData[].expected",
      meaning: t(
        "What the answer should be. It decides where no evaluator does, and a failure shows the difference from it.",
      ),
      type: "any",
    },
    {
      path: "testData[].expectedFrom",
      meaning: t(
        "What single columns should answer, by an adapter's name or “base”, in place of expected.",
      ),
      type: "object",
      isOwn: own,
    },
    ...evaluatorFields("evaluators[]"),
    {
      path: "graft.adapters",
      meaning: t(
        "The columns that rows run under, beside the base: an adapter's name or a path from this file, with a weight, or a list of several that answer together. Where nothing is named, every loaded adapter.",
      ),
      type: "array",
      isOwn: own,
    },
    {
      path: "graft.adapters[].adapter",
      meaning: t("The adapter's name, or its folder from this file."),
      type: "string",
      isOwn: own,
    },
    {
      path: "graft.adapters[].weight",
      meaning: t("Factor on the adapter's change; 1 is as trained."),
      type: "number",
      isOwn: own,
    },
    {
      path: "graft.evaluators",
      meaning: t("Evaluators that GitHub's tool does not know: it stops at one among its own."),
      type: "array",
      isOwn: own,
    },
    ...evaluatorFields("graft.evaluators[]"),
    ...ownRules("graft.evaluators[]"),
  ];
}

function topFields(): Field[] {
  return [
    { path: "name", meaning: t("What the prompt is called."), type: "string" },
    { path: "description", meaning: t("What the prompt is for."), type: "string" },
    {
      path: "model",
      meaning: t(
        "The base model: a name from the sidebar, a folder, or an id. Where it is not on this machine, the loaded base answers.",
      ),
      type: "string",
    },
    { path: "modelParameters", meaning: t("How answers are sampled."), type: "object" },
    {
      path: "responseFormat",
      meaning: t("The form of an answer, which the model is held to while it writes."),
      type: "string",
      values: formats,
    },
    {
      path: "jsonSchema",
      meaning: t(
        "JSON schema of the answer, as a JSON text or as YAML, by itself or under “schema” beside a “name”.",
      ),
      type: "any",
    },
    {
      path: "messages",
      meaning: t("The conversation that the model goes on with."),
      type: "array",
    },
    {
      path: "testData",
      meaning: t("Rows of values for the variables of the messages; each row is a test."),
      type: "array",
    },
    { path: "evaluators", meaning: t("How answers are judged."), type: "array" },
    {
      path: "graft",
      meaning: t("Graft's own part: which adapters run, and evaluators of its own."),
      type: "object",
      isOwn: true,
    },
  ];
}

function parameterFields(): Field[] {
  const at = (name: string): string => `modelParameters.${name}`;
  const most = t("Most tokens of an answer; 256 when absent.");
  const length = { meaning: most, type: "integer", least: 1, most: 32768 } as const;
  return [
    { path: at("maxTokens"), ...length },
    { path: at("maxCompletionTokens"), ...length },
    { path: at("max_completion_tokens"), ...length },
    {
      path: at("temperature"),
      meaning: t("0 always takes the likeliest token, and is meant when absent."),
      type: "number",
      least: 0,
      most: 5,
    },
    {
      path: at("topP"),
      meaning: t("Only the likeliest tokens of this share of probability are sampled."),
      type: "number",
      least: 0,
      most: 1,
    },
    {
      path: at("seed"),
      meaning: t("Of the random generator; 0 when absent."),
      type: "integer",
      least: 0,
    },
    { path: at("stop"), meaning: t("Texts that end an answer."), type: "any" },
    {
      path: at("frequencyPenalty"),
      meaning: t("Not used by Graft; see repetitionPenalty."),
      type: "number",
      isUnused: true,
    },
    {
      path: at("presencePenalty"),
      meaning: t("Not used by Graft; see repetitionPenalty."),
      type: "number",
      isUnused: true,
    },
    {
      path: at("topK"),
      meaning: t("Only so many of the likeliest tokens are sampled; 0 is off."),
      type: "integer",
      least: 0,
      isOwn: true,
    },
    {
      path: at("repetitionPenalty"),
      meaning: t("Divides the scores of tokens that stand there already; 1 is off."),
      type: "number",
      least: 0.1,
      most: 5,
      isOwn: true,
    },
  ];
}

function evaluatorFields(at: string): Field[] {
  const string: Record<(typeof stringRules)[number], string> = {
    equals: t("The answer is exactly this, but for spaces around it."),
    contains: t("The answer holds this; case does not matter."),
    startsWith: t("The answer begins with this; case does not matter."),
    endsWith: t("The answer ends with this; case does not matter."),
  };
  return [
    { path: `${at}.name`, meaning: t("What is shown for it."), type: "string" },
    { path: `${at}.string`, meaning: t("Compares the answer with a text."), type: "object" },
    ...stringRules.map((rule): Field => ({
      path: `${at}.string.${rule}`,
      meaning: string[rule],
      type: "string",
    })),
    {
      path: `${at}.llm`,
      meaning: t("Asks another model on GitHub Models; Graft passes over it."),
      type: "object",
      isUnused: true,
    },
    {
      path: `${at}.uses`,
      meaning: t("A judge of GitHub Models; Graft passes over it."),
      type: "string",
      isUnused: true,
    },
    {
      path: `${at}.adapters`,
      meaning: t("The columns that are judged, by an adapter's name or “base”; all when absent."),
      type: "array",
      isOwn: true,
    },
  ];
}

function ownRules(at: string): Field[] {
  const isOwn = true;
  return [
    {
      path: `${at}.regex`,
      meaning: t(
        "A regular expression (JavaScript's) that the answer matches; or pattern and flags.",
      ),
      type: "any",
      isOwn,
    },
    { path: `${at}.regex.pattern`, meaning: t("The regular expression."), type: "string", isOwn },
    {
      path: `${at}.regex.flags`,
      meaning: t("“i” ignores case, “s” lets . match line breaks."),
      type: "string",
      isOwn,
    },
    {
      path: `${at}.jsonSchema`,
      meaning: t("The answer is JSON that follows this schema."),
      type: "any",
      isOwn,
    },
    {
      path: `${at}.perplexity`,
      meaning: t("How surprising a text may be to the model after the prompt."),
      type: "object",
      isOwn,
    },
    {
      path: `${at}.perplexity.atMost`,
      meaning: t("The largest perplexity that passes; 1 is no surprise at all."),
      type: "number",
      least: 1,
      isOwn,
    },
    {
      path: `${at}.perplexity.of`,
      meaning: t("The text: what is expected, or the answer itself."),
      type: "string",
      values: ["expected", "answer"],
      isOwn,
    },
    {
      path: `${at}.differsFromBase`,
      meaning: t("true: the answer is not what the base alone says."),
      type: "boolean",
      isOwn,
    },
  ];
}
