import { Validator } from "@cfworker/json-schema";
import { t } from "@vscode/l10n";
import type { Span } from "./problem.ts";
import { render } from "./template.ts";

/** How an answer is judged. */
export type Rule =
  | { kind: "string"; how: StringRule; value: string }
  | { kind: "regex"; source: string; flags: string }
  | { kind: "jsonSchema"; schema: object }
  | { kind: "perplexity"; atMost: number; of: "expected" | "answer" }
  | { kind: "differsFromBase" }
  /** GitHub Models' judges, which ask another model. */
  | { kind: "judge"; what: string };

export type StringRule = "equals" | "contains" | "startsWith" | "endsWith";

export interface Evaluator {
  readonly name: string;
  readonly rule: Rule;
  /** The columns that it judges; all when empty. */
  readonly adapters: readonly string[];
  readonly span: Span;
}

/** An answer and what is known beside it. */
export interface Answered {
  readonly output: string;
  readonly values: Readonly<Record<string, string>>;
  readonly expected: string | null;
  /** What the column is called: its label and its adapters' names. */
  readonly names: readonly string[];
  readonly isBase: boolean;
  /** What the base says, where an evaluator asks for it. */
  readonly baseOutput?: string | undefined;
  /** Perplexity of the expected text, or of the answer, under the column's model. */
  readonly perplexity?: number | undefined;
}

export interface Check {
  readonly name: string;
  readonly status: "passed" | "failed" | "skipped";
  readonly message: string;
}

export function appliesTo({ adapters }: Evaluator, names: readonly string[]): boolean {
  return adapters.length === 0 || adapters.some((each) => names.includes(each));
}

/** Judges an answer. As in GitHub's tool `equals` is exact, the other string rules ignore case. */
export function evaluate(evaluator: Evaluator, answered: Answered): Check {
  const { name } = evaluator;
  const { status, message } = judge(evaluator.rule, answered);
  return { name: name === "" ? ruleName(evaluator.rule) : name, status, message };
}

type Verdict = Pick<Check, "status" | "message">;

function judge(rule: Rule, answered: Answered): Verdict {
  const output = answered.output.trim();
  switch (rule.kind) {
    case "string":
      return judgeString(rule, output, answered.values);
    case "regex": {
      const pattern = new RegExp(rule.source, rule.flags);
      const shown = `/${rule.source}/${rule.flags}`;
      return pattern.test(output)
        ? passed(t("matches {0}", shown))
        : failed(t("does not match {0}", shown));
    }
    case "jsonSchema":
      return judgeJson(output, rule.schema);
    case "perplexity":
      return judgePerplexity(rule, answered.perplexity);
    case "differsFromBase":
      if (answered.isBase) return skipped(t("the base is what others are compared with"));
      if (answered.baseOutput === undefined) return skipped(t("the base has not answered"));
      return output === answered.baseOutput.trim()
        ? failed(t("is what the base says, too"))
        : passed(t("differs from what the base says"));
    case "judge":
      return skipped(t("{0} asks another model, which Graft does not", rule.what));
    default:
      return rule satisfies never;
  }
}

function judgeString(
  { how, value: given }: Extract<Rule, { kind: "string" }>,
  output: string,
  values: Answered["values"],
): Verdict {
  const value = render(given, values);
  const [answer, wanted] = [output.toLowerCase(), value.toLowerCase()];
  switch (how) {
    case "equals":
      return output === value.trim()
        ? passed(t("equals “{0}”", value))
        : failed(t("does not equal “{0}”", value));
    case "contains":
      return answer.includes(wanted)
        ? passed(t("contains “{0}”", value))
        : failed(t("does not contain “{0}”", value));
    case "startsWith":
      return answer.startsWith(wanted)
        ? passed(t("starts with “{0}”", value))
        : failed(t("does not start with “{0}”", value));
    case "endsWith":
      return answer.endsWith(wanted)
        ? passed(t("ends with “{0}”", value))
        : failed(t("does not end with “{0}”", value));
    default:
      return how satisfies never;
  }
}

function judgeJson(output: string, schema: object): Verdict {
  let value: unknown;
  try {
    value = JSON.parse(output);
  } catch (error) {
    return failed(t("is no JSON: {0}", (error as Error).message));
  }
  const { valid, errors } = new Validator(schema as never, "2020-12", false).validate(value);
  if (valid) return passed(t("follows the JSON schema"));
  // Outer errors say only that something inside is wrong.
  const inner = errors.at(-1);
  return failed(
    t("breaks the JSON schema at {0}: {1}", inner?.instanceLocation ?? "#", inner?.error ?? ""),
  );
}

function judgePerplexity(
  { atMost, of }: Extract<Rule, { kind: "perplexity" }>,
  perplexity: number | undefined,
): Verdict {
  if (perplexity === undefined) return skipped(t("there is no expected text to measure"));
  const shown = perplexity < 100 ? perplexity.toFixed(2) : String(Math.round(perplexity));
  const message =
    of === "expected"
      ? t("perplexity of the expected text is {0}, the bound {1}", shown, atMost)
      : t("perplexity of the answer is {0}, the bound {1}", shown, atMost);
  return perplexity <= atMost ? passed(message) : failed(message);
}

/** What an evaluator without a name is called. */
function ruleName(rule: Rule): string {
  return rule.kind === "string" ? rule.how : rule.kind === "judge" ? rule.what : rule.kind;
}

/** The expected answer is the test where a file has no evaluator for a column. */
export function checkExpected(output: string, expected: string): Check {
  const isRight = output.trim() === expected.trim();
  const verdict = isRight ? passed(t("is what is expected")) : failed(t("is not what is expected"));
  return { name: "expected", ...verdict };
}

/** An answer in a format that a file asks for. */
export function checkFormat(output: string, schema: object | null): Check {
  const { status, message } = judgeJson(output.trim(), schema ?? {});
  return { name: "responseFormat", status, message };
}

function passed(message: string): Verdict {
  return { status: "passed", message };
}

function failed(message: string): Verdict {
  return { status: "failed", message };
}

function skipped(message: string): Verdict {
  return { status: "skipped", message };
}
