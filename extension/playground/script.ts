import type { ChatMessage } from "../protocol/generationContract.ts";
import type { ColumnAdapter, PlaygroundSettings } from "../protocol/playgroundContract.ts";

/** What one column of a conversation did, with all that repeating it elsewhere needs. */
export interface Script {
  /** "graft-sample + pirate ×0.5". */
  readonly title: string;
  readonly base: {
    readonly name: string;
    readonly path: string;
    /** Without one the messages are one text. */
    readonly hasChatTemplate: boolean;
  };
  readonly adapters: readonly ScriptAdapter[];
  readonly settings: PlaygroundSettings;
  /** Up to the prompt that is to be answered. */
  readonly messages: readonly ChatMessage[];
}

export interface ScriptAdapter extends ColumnAdapter {
  readonly path: string;
  readonly method: string;
}
