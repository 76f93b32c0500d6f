import type { Connection } from "../../extension/protocol/connection.ts";
import type {
  PlaygroundContract,
  PlaygroundHostContract,
  PlaygroundState,
} from "../../extension/protocol/playgroundContract.ts";
import type { Change, Conversation } from "./conversation.ts";

/** What the parts of the page share: what is known, how to change it, whom to ask. */
export interface Page {
  readonly conversation: Conversation;
  readonly state: PlaygroundState;
  readonly host: Connection<PlaygroundContract, PlaygroundHostContract>;
  change(change: Change): void;
  /** Takes over another conversation, from the history or from before a mistake. */
  replace(conversation: Conversation): void;
  /** Shows one line above the prompt; with `undo`, a way back. */
  notice(words: string, undo?: () => void): void;
  /** Says it to assistive technology. */
  announce(words: string): void;
  /** Draws the parts that do not follow by themselves: bar and settings. */
  redraw(): void;
}
