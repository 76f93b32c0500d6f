import { isObject, type JsonObject } from "../base/json.ts";
import type { ToolCall } from "./chatTemplate.ts";
import { beginningAtEnd } from "./stopText.ts";

/** How a family of models calls tools. */
export type ToolFormat = "hermes" | "llama" | "mistral";

const openCall = "<tool_call>";
const closeCall = "</tool_call>";
const pythonTag = "<|python_tag|>";
const mistralCalls = "[TOOL_CALLS]";
const mistralArguments = "[ARGS]";

/**
 * The format that a chat template itself shows; null where it takes no tools, or calls them in a way that
 * is not one of these.
 */
export function toolFormatOf(chatTemplate: string | null): ToolFormat | null {
  if (chatTemplate === null || !/\btools\b/.test(chatTemplate)) return null;
  if (chatTemplate.includes(openCall) && !chatTemplate.includes("<function=")) return "hermes";
  if (chatTemplate.includes(mistralCalls)) return "mistral";
  const isLlama = chatTemplate.includes('"parameters": ') && chatTemplate.includes('{"name": ');
  return isLlama ? "llama" : null;
}

/** What an answer says outside of its calls; with `isDone` false without what may become one. */
export function spokenPart(text: string, format: ToolFormat, isDone: boolean): string {
  if (format === "llama") {
    const isCall = isDone ? parseToolCalls(text, format).length > 0 : mayBeLlamaCall(text);
    return isCall ? "" : text;
  }
  if (isDone && parseToolCalls(text, format).length === 0) return text;
  const mark = format === "hermes" ? openCall : mistralCalls;
  const begin = text.indexOf(mark);
  if (begin >= 0) return text.slice(0, begin).trimEnd();
  return isDone ? text : text.slice(0, text.length - beginningAtEnd(text, mark));
}

/** Calls in a finished answer; none where what stands there is not what the format says. */
export function parseToolCalls(text: string, format: ToolFormat): ToolCall[] {
  switch (format) {
    case "hermes":
      return hermesCalls(text);
    case "llama":
      return llamaCalls(text);
    case "mistral":
      return mistralToolCalls(text);
    default:
      return format satisfies never;
  }
}

function hermesCalls(text: string): ToolCall[] {
  const parts = text.split(openCall).slice(1);
  return numbered(parts.map((part) => callOf(parsed(part.split(closeCall)[0] ?? ""), "arguments")));
}

/** One object that is the whole answer. */
function llamaCalls(text: string): ToolCall[] {
  const own = text.replace(pythonTag, "").trim();
  return numbered([callOf(parsed(own), "parameters")]);
}

/** A list of calls, or (since version 11 of its tokenizer) a name and its arguments for each. */
function mistralToolCalls(text: string): ToolCall[] {
  const parts = text.split(mistralCalls).slice(1);
  return numbered(
    parts.flatMap((part) => {
      const [name, args] = part.split(mistralArguments);
      if (name !== undefined && args !== undefined) {
        return [callOf({ name: name.trim(), arguments: parsed(args) }, "arguments")];
      }
      const calls = parsed(part);
      return Array.isArray(calls) ? calls.map((each) => callOf(each, "arguments")) : [null];
    }),
  );
}

type Unnumbered = Omit<ToolCall, "id"> & { id: string | null };

/** All or none: a broken call among others would otherwise be gone without a word. */
function numbered(calls: readonly (Unnumbered | null)[]): ToolCall[] {
  if (calls.includes(null)) return [];
  return calls.map((call, i) => ({ ...(call as Unnumbered), id: call?.id ?? `call_${i + 1}` }));
}

function callOf(value: unknown, key: "arguments" | "parameters"): Unnumbered | null {
  if (!isObject(value) || typeof value["name"] !== "string") return null;
  const given: unknown = value[key] ?? {};
  const args = typeof given === "string" ? parsed(given) : given;
  if (!isObject(args)) return null;
  const id = typeof value["id"] === "string" ? value["id"] : null;
  return { id, name: value["name"], arguments: args satisfies JsonObject };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function mayBeLlamaCall(text: string): boolean {
  const begun = text.trimStart();
  return (
    begun === "" || begun.startsWith("{") || pythonTag.startsWith(begun.slice(0, pythonTag.length))
  );
}
