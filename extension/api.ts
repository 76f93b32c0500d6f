/**
 * What `activate()` of Graft returns, for other extensions; docs/api.md tells how it is used. This file
 * imports nothing, so that it can be copied.
 */
export interface GraftApi {
  /** Grows when something is added; what is there stays as it is within a major version. */
  readonly version: "1.0";
  /** Bases and adapters that Graft finds on this machine, and what is loaded. Starts the engine. */
  list(): Promise<GraftList>;
  /** Loads a base model (its folder), or an adapter's folder with its base. One base at a time. */
  loadModel(path: string, options?: GraftWork): Promise<GraftModel>;
  /** Loads an adapter (its folder) onto the loaded base; it takes part where `generate` names it. */
  attachAdapter(path: string, options?: GraftWork): Promise<GraftAdapter>;
  /** Answers with the loaded base. Texts come as they are written: iterate, or await `result`. */
  generate(prompt: string | readonly GraftMessage[], options?: GraftOptions): GraftGeneration;
  /** Tokens of a prompt, with those that the chat template puts around a conversation. */
  countTokens(prompt: string | readonly GraftMessage[]): Promise<number>;
  /** Something was found, loaded or unloaded. */
  onDidChange(listener: () => void): { dispose(): void };
}

export interface GraftList {
  bases: { path: string; name: string; family: string; parameters: number; problem?: string }[];
  adapters: {
    path: string;
    name: string;
    method: string;
    basePath: string | null;
    problem?: string;
  }[];
  loaded: { base: GraftModel | null; adapters: GraftAdapter[] };
}

export interface GraftModel {
  path: string;
  name: string;
  contextLength: number;
  hasChatTemplate: boolean;
}

export interface GraftAdapter {
  /** What `generate` calls it. */
  name: string;
  path: string;
  method: string;
}

export interface GraftMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

export interface GraftWork {
  onProgress?(step: string): void;
  signal?: AbortSignal;
}

export interface GraftOptions {
  /** Adapters and how much of each; the active ones when absent, [] is the bare base. */
  adapters?: readonly { name: string; weight?: number }[];
  /** What is absent is as the user has set it. */
  maxNewTokens?: number;
  temperature?: number;
  topP?: number;
  topK?: number;
  repetitionPenalty?: number;
  seed?: number;
  stop?: readonly string[];
  /** The answer is JSON that this schema allows; true is any JSON. */
  jsonSchema?: true | Record<string, unknown>;
  /** The whole text so far. */
  onText?(text: string): void;
  signal?: AbortSignal;
}

export interface GraftAnswer {
  text: string;
  finish: "stop" | "length" | "context" | "cancelled";
  tokens: number;
  promptTokens: number;
  tokensPerSecond: number;
  seed: number;
}

/** Iterating gives the pieces of the text; leaving the loop stops the answer. */
export interface GraftGeneration extends AsyncIterable<string> {
  readonly result: Promise<GraftAnswer>;
}

/** Every promise rejects with an Error that has a code. */
export interface GraftApiError extends Error {
  code:
    | "not-found"
    | "bad-request"
    | "bad-file"
    | "unsupported"
    | "misfit"
    | "partial-bind"
    | "no-memory"
    | "cancelled"
    | "engine-gone"
    | "internal"
    | (string & {});
}
