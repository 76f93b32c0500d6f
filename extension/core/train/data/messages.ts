import { t } from "@vscode/l10n";
import { isObject, type JsonObject } from "../../base/json.ts";
import { type Fault, fault } from "./example.ts";

/** ShareGPT's names of who speaks. */
const roles: Readonly<Record<string, string>> = {
  human: "user",
  gpt: "assistant",
  chatgpt: "assistant",
  bing: "assistant",
  bard: "assistant",
  function: "tool",
  observation: "tool",
};

/**
 * A conversation as chat templates read it: `role` and `content`, or ShareGPT's `from` and `value`; in a
 * cell of a table as JSON. Other fields of a message (tool_calls, reasoning_content) stay as they are.
 */
export function readMessages(record: JsonObject, name: string): JsonObject[] | Fault {
  let given = record[name];
  if (given === undefined || given === null) return fault([], t("“{0}” is missing.", name));
  if (typeof given === "string") {
    try {
      given = JSON.parse(given) as unknown;
    } catch {
      return fault([name], t("“{0}” has to be a list of messages.", name));
    }
  }
  if (!Array.isArray(given) || given.length === 0)
    return fault([name], t("“{0}” has to be a list of messages.", name));
  const messages: JsonObject[] = [];
  for (const [i, each] of given.entries()) {
    const message = readMessage(each, [name, i]);
    if (message["kind"] === "fault") return message as unknown as Fault;
    messages.push(message);
  }
  return messages;
}

function readMessage(given: unknown, path: readonly (string | number)[]): JsonObject {
  const wrong = (at: readonly (string | number)[], message: string): JsonObject => ({
    ...fault([...path, ...at], message),
  });
  if (!isObject(given))
    return wrong([], t("A message has to be an object with “role” and “content”."));
  const { from, value, ...others } = given;
  const isShared = given["role"] === undefined && from !== undefined;
  const said = isShared ? from : given["role"];
  if (typeof said !== "string") return wrong([], t("The message has no “role”: who says it."));
  const content = isShared ? value : given["content"];
  if (typeof content !== "string" && !isAllowedWithoutText(given, content))
    return wrong([isShared ? "value" : "content"], t("The message has no “content” that is text."));
  if (!isShared) return given;
  return { ...others, role: roles[said] ?? said, content };
}

/** Parts of text, and calls of functions that say nothing beside. */
function isAllowedWithoutText(message: JsonObject, content: unknown): boolean {
  if (content === null || content === undefined) return Array.isArray(message["tool_calls"]);
  return (
    Array.isArray(content) &&
    content.every(
      (part) => isObject(part) && part["type"] === "text" && typeof part["text"] === "string",
    )
  );
}
