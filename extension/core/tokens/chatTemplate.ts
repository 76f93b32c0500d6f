import { t } from "@vscode/l10n";
import { Template } from "@huggingface/jinja";
import { GraftError, unsupported } from "../base/errors.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** A function that a model may ask for; `parameters` is a JSON schema of its arguments. */
export interface Tool {
  readonly name: string;
  readonly description?: string;
  readonly parameters?: Readonly<Record<string, unknown>>;
}

/** A model's wish to have a function called. */
export interface ToolCall {
  readonly id: string;
  readonly name: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

export interface Message {
  readonly role: "system" | "user" | "assistant" | "tool";
  readonly content: string;
  /** Of the assistant. */
  readonly toolCalls?: readonly ToolCall[];
  /** Of a tool: the call that it answers, and its name. */
  readonly toolCallId?: string;
  readonly name?: string;
}

export interface ChatOptions {
  /** Ends with the beginning of an answer; true when absent. */
  readonly addGenerationPrompt?: boolean | undefined;
  readonly tools?: readonly Tool[] | undefined;
}

/** Renders a conversation as the model was trained to read it. */
export function renderChat(
  tokenizer: Tokenizer,
  messages: readonly Message[],
  { addGenerationPrompt = true, tools }: ChatOptions = {},
): string {
  if (tokenizer.chatTemplate === null) {
    throw unsupported(
      t("This base model has no chat template"),
      t("Send the prompt as plain text."),
    );
  }
  try {
    return new Template(tokenizer.chatTemplate).render({
      ...tokenizer.specialTokens,
      messages: messages.map(templateMessage),
      ...(tools && tools.length > 0 && { tools: tools.map(templateTool) }),
      add_generation_prompt: addGenerationPrompt,
    });
  } catch (error) {
    throw new GraftError("bad-file", t("The chat template failed: {0}.", (error as Error).message));
  }
}

/** Names as templates of Hugging Face know them (transformers' chat_template_utils). */
function templateMessage({ role, content, toolCalls, toolCallId, name }: Message): object {
  return {
    role,
    content,
    ...(name !== undefined && { name }),
    ...(toolCallId !== undefined && { tool_call_id: toolCallId }),
    ...(toolCalls && {
      tool_calls: toolCalls.map(({ id, ...called }) => ({
        id,
        type: "function",
        function: called,
      })),
    }),
  };
}

function templateTool({ name, description = "", parameters }: Tool): object {
  const none = { type: "object", properties: {} };
  return { type: "function", function: { name, description, parameters: parameters ?? none } };
}
