/** Host ⇄ playground page. Types only. */
import type { ActiveAdapter } from "./engineContract.ts";
import type { ChatMessage, GenerateResult, Sampling, SavedWork } from "./generationContract.ts";
import type {
  GenerateColumnsEvent,
  GenerateColumnsResult,
  RenderedPrompt,
  TokenDetail,
} from "./generationContract.ts";
import type { HostState } from "./webviewContract.ts";

/** An adapter of a column; its path brings it back where it is not loaded any more. */
export interface ColumnAdapter extends ActiveAdapter {
  path?: string | undefined;
}

/** Who answers in one column; no adapter is the bare base. */
export interface Column {
  id: string;
  adapters: ColumnAdapter[];
}

export interface Answer {
  /** "graft-sample + pirate ×1.0": who answered. */
  label: string;
  text: string;
  state: "running" | "interrupted" | "failed" | GenerateResult["finish"];
  tokens: number;
  tokensPerSecond: number;
  seconds: number;
  seed: number | null;
  /** Why it failed; "" otherwise. */
  problem: string;
  /** Its tokens with what else was likely. */
  details: TokenDetail[];
  /** How many tokens it had said when weights were changed. */
  changes: number[];
  saved?: SavedWork | undefined;
}

/** A prompt and what each column said to it, by the column's id. */
export interface Exchange {
  id: string;
  prompt: string;
  answers: Record<string, Answer>;
}

export interface PlaygroundSettings {
  system: string;
  sampling: Sampling;
  /** Texts that end an answer. */
  stop: string[];
  /** Only JSON is said; with a schema, only JSON that it allows. "" allows any. */
  json: { isOn: boolean; schema: string };
}

/** A conversation as it is kept over reloads and in the history. */
export interface SavedConversation {
  id: string;
  /** Milliseconds since 1970. */
  changed: number;
  columns: Column[];
  settings: PlaygroundSettings;
  exchanges: Exchange[];
}

export interface ConversationSummary {
  id: string;
  changed: number;
  title: string;
  /** "base", "pirate": what each column was. */
  columns: string[];
  exchanges: number;
}

/** A named set of columns and settings. */
export interface Preset {
  name: string;
  columns: Column[];
  settings: PlaygroundSettings;
}

/** An adapter that fits the base and is not loaded yet. */
export interface AvailableAdapter {
  path: string;
  name: string;
  method: string;
}

export interface PlaygroundState {
  host: HostState;
  available: AvailableAdapter[];
  presets: Preset[];
}

export interface ColumnRequest {
  id: string;
  adapters: ColumnAdapter[];
  messages: ChatMessage[];
}

export interface RunParams {
  columns: ColumnRequest[];
  settings: PlaygroundSettings;
  /** Names the run, so that weights can change while it runs. */
  run: string;
}

export type CopyFormat = "promptFile" | "promptDocument" | "python" | "typescript" | "markdown";

/** What the host offers to the playground. */
export type PlaygroundHostContract = {
  ready: { params: null; result: PlaygroundState };
  generate: {
    params: RunParams;
    result: GenerateColumnsResult;
    event: GenerateColumnsEvent;
  };
  /** Weights of a column of a run; they hold from the next token on. */
  setWeights: { params: { run: string; column: string; adapters: ActiveAdapter[] }; result: null };
  renderPrompt: {
    params: { messages: ChatMessage[]; adapters: ActiveAdapter[] };
    result: RenderedPrompt;
  };
  loadBase: { params: null; result: null };
  /** Asks which, or loads the one of that path; its name, null where it did not come to that. */
  loadAdapter: { params: { path: string | null }; result: ColumnAdapter | null };
  copy: { params: { text: string }; result: null };
  copyAs: {
    params: { format: CopyFormat; conversation: SavedConversation; column: string };
    result: null;
  };
  savePreset: { params: Preset; result: Preset[] };
  deletePreset: { params: { name: string }; result: Preset[] };
  keepConversation: { params: SavedConversation; result: null };
  listConversations: { params: { search: string }; result: ConversationSummary[] };
  openConversation: { params: { id: string }; result: SavedConversation | null };
  deleteConversation: { params: { id: string }; result: null };
  clearConversations: { params: null; result: { deleted: number } };
};

/** What the playground offers to the host. */
export type PlaygroundContract = {
  update: { params: PlaygroundState; result: null };
  /** Put a prompt into the box and give it the focus. */
  focusPrompt: { params: { text: string | null; adapter: string | null }; result: null };
};
