import type { JsonObject } from "../../base/json.ts";

/** What a record means, before it is tokenised. */
export type Example =
  | { readonly kind: "text"; readonly text: string }
  /** Plain text without a chat template. */
  | { readonly kind: "instruction"; readonly prompt: string; readonly completion: string }
  /** Messages as the chat template reads them; `promptCount` of them are the prompt where that is set. */
  | {
      readonly kind: "chat";
      readonly messages: readonly JsonObject[];
      readonly promptCount?: number;
      readonly tools?: readonly unknown[];
    }
  /** What an encoder reads, and what the decoder answers. */
  | { readonly kind: "answer"; readonly prompt: string; readonly completion: string }
  | {
      readonly kind: "classification";
      readonly text: string;
      readonly pair?: string;
      readonly label: Label | readonly Label[];
    }
  /** An answer is characters of the context from `start` up to `end`; null where the context has none. */
  | {
      readonly kind: "question";
      readonly question: string;
      readonly context: string;
      readonly answer: readonly [start: number, end: number] | null;
    }
  | { readonly kind: "tags"; readonly words: readonly string[]; readonly tags: readonly Label[] };

/** An id, or a name. */
export type Label = number | string;

/** What a field has to be and is not; `path` leads to it inside of its record. */
export interface Fault {
  readonly kind: "fault";
  readonly path: readonly (string | number)[];
  readonly message: string;
}

export function isFault(value: unknown): value is Fault {
  return (value as Partial<Fault> | null)?.kind === "fault";
}

export function fault(path: readonly (string | number)[], message: string): Fault {
  return { kind: "fault", path, message };
}
