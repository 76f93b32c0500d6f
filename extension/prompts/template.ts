import type { PromptFile, PromptMessage } from "./promptFile.ts";

/** `{{variable}}`; spaces inside are allowed, whatever else stands there is plain text. */
const placeholder = /\{\{\s*([A-Za-z_][\w.-]*)\s*\}\}/g;

/** The variables that a text names, with their offsets in it. */
export function variablesOf(text: string): { name: string; start: number; end: number }[] {
  return [...text.matchAll(placeholder)].map((match) => ({
    name: match[1] as string,
    start: match.index,
    end: match.index + match[0].length,
  }));
}

/** Puts values in; a variable without one stays as it is, so that it is seen. */
export function render(text: string, values: Readonly<Record<string, string>>): string {
  return text.replaceAll(placeholder, (whole, name: string) =>
    Object.hasOwn(values, name) ? (values[name] ?? "") : whole,
  );
}

export type Rendered =
  | { kind: "chat"; messages: { role: PromptMessage["role"]; content: string }[] }
  | { kind: "text"; text: string };

/** The prompt of a row; a base without a chat template reads the messages as one text. */
export function renderPrompt(
  { messages }: Pick<PromptFile, "messages">,
  values: Readonly<Record<string, string>>,
  { isChat }: { isChat: boolean },
): Rendered {
  const rendered = messages.map(({ role, content }) => ({
    role,
    content: render(content, values),
  }));
  if (isChat) return { kind: "chat", messages: rendered };
  return { kind: "text", text: rendered.map(({ content }) => content).join("\n\n") };
}
