import { Template } from "@huggingface/jinja";
import { GraftError, unsupported } from "../base/errors.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface Message {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/** Renders a conversation as the model was trained to read it. */
export function renderChat(
  tokenizer: Tokenizer,
  messages: readonly Message[],
  { addGenerationPrompt = true }: { addGenerationPrompt?: boolean } = {},
): string {
  if (tokenizer.chatTemplate === null) {
    throw unsupported("This base model has no chat template", "Send the prompt as plain text.");
  }
  try {
    return new Template(tokenizer.chatTemplate).render({
      ...tokenizer.specialTokens,
      messages,
      add_generation_prompt: addGenerationPrompt,
    });
  } catch (error) {
    throw new GraftError("bad-file", `The chat template failed: ${(error as Error).message}.`);
  }
}
