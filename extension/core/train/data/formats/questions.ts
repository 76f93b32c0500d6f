import { t } from "@vscode/l10n";
import type { JsonObject } from "../../../base/json.ts";
import { fault } from "../example.ts";
import { listOf, objectOf, readText } from "../fields.ts";
import type { FieldNames, RecordFormat } from "./recordFormat.ts";

/** Are there answers by their places in a context? */
export function hasSpans(record: JsonObject): boolean {
  const answers = objectOf(record["answers"]);
  return typeof record["context"] === "string" && answers?.["answer_start"] !== undefined;
}

export function hasQuestions(record: JsonObject, names: FieldNames): boolean {
  return fieldsOf(names).every((name) => Object.hasOwn(record, name));
}

function fieldsOf(names: FieldNames): [question: string, context: string, answers: string] {
  return [names.prompt ?? "question", names.input ?? "context", names.completion ?? "answers"];
}

/** SQuAD's: `answers` { text: […], answer_start: […] }, of which the first is learned; none is an answer, too. */
export function questions(names: FieldNames): RecordFormat {
  const [question, context, answers] = fieldsOf(names);
  return {
    format: "questions",
    task: "question-answering",
    fields: { prompt: question, input: context, completion: answers },
    read: (each) => {
      const own = readText(each, question);
      if (typeof own !== "string") return own;
      const text = readText(each, context);
      if (typeof text !== "string") return text;
      const answer = readSpan(each[answers], text);
      if (answer !== undefined)
        return { kind: "question", question: own.trimStart(), context: text, answer };
      return fault(
        [answers],
        t("“{0}” has to have “text” and “answer_start” of an answer in the context.", answers),
      );
    },
  };
}

/** undefined for what is no answer of the context. */
function readSpan(value: unknown, context: string): [number, number] | null | undefined {
  const answers = objectOf(value);
  const [texts, starts] = [listOf(answers?.["text"]), listOf(answers?.["answer_start"])];
  if (!texts || !starts || texts.length !== starts.length) return undefined;
  if (texts.length === 0) return null;
  const [text, start] = [texts[0], starts[0]];
  if (typeof text !== "string" || typeof start !== "number") return undefined;
  // Python counts code points, JavaScript UTF-16 units.
  const from = [...context].slice(0, start).join("").length;
  return context.startsWith(text, from) && text !== "" ? [from, from + text.length] : undefined;
}
