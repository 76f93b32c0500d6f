import type { ConversationTurn, ToolCall } from "../protocol/generationContract.ts";

/** A message of VS Code's chat API, as far as it is read. */
export interface GivenMessage {
  readonly role: number;
  readonly content: readonly unknown[];
}

const roles = { 1: "user", 2: "assistant", 3: "system" } as const;

/** Turns of a conversation; parts that a text model cannot read are refused by the caller's `onOther`. */
export function conversationOf(
  messages: readonly GivenMessage[],
  onOther: () => void,
): ConversationTurn[] {
  return messages.flatMap(({ role, content }): ConversationTurn[] => {
    const own = roles[role as keyof typeof roles] ?? "user";
    const texts: string[] = [];
    const calls: ToolCall[] = [];
    const results: ConversationTurn[] = [];
    for (const part of content) {
      const kind = partOf(part);
      if (kind === null) onOther();
      else if (kind.kind === "text") texts.push(kind.text);
      else if (kind.kind === "call") calls.push(kind.call);
      else results.push({ role: "tool", content: kind.text, toolCallId: kind.id });
    }
    const text = texts.join("");
    if (calls.length > 0)
      return [{ role: "assistant", content: text, toolCalls: calls }, ...results];
    return text === "" && results.length > 0 ? results : [...results, { role: own, content: text }];
  });
}

type Part =
  | { kind: "text"; text: string }
  | { kind: "call"; call: ToolCall }
  | { kind: "result"; id: string; text: string };

/** By their fields: the classes of the API are the editor's. */
function partOf(part: unknown): Part | null {
  if (typeof part === "string") return { kind: "text", text: part };
  if (typeof part !== "object" || part === null) return null;
  const { value, callId, name, input, content } = part as Record<string, unknown>;
  if (typeof value === "string") return { kind: "text", text: value };
  if (typeof callId !== "string") return null;
  if (typeof name === "string") {
    const given = (
      typeof input === "object" && input !== null ? input : {}
    ) as ToolCall["arguments"];
    return { kind: "call", call: { id: callId, name, arguments: given } };
  }
  if (!Array.isArray(content)) return null;
  const texts = content.map((each) => {
    const read = partOf(each);
    return read?.kind === "text" ? read.text : JSON.stringify(each);
  });
  return { kind: "result", id: callId, text: texts.join("\n") };
}
