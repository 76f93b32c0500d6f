import type {
  ActiveAdapter,
  ChatMessage,
  GenerateEvent,
  GenerateResult,
  Sampling,
} from "../../extension/protocol/engineContract.ts";
import { restoreSampling } from "./settings.ts";

/** One turn of the transcript. */
export type Turn =
  | { readonly kind: "user"; readonly text: string }
  | {
      readonly kind: "assistant";
      readonly text: string;
      /** "graft-sample + pirate ×1.0". */
      readonly label: string;
      readonly state: "running" | "interrupted" | "failed" | GenerateResult["finish"];
      readonly tokens: number;
      readonly tokensPerSecond: number;
      readonly seed: number | null;
      /** Why it failed; "" otherwise. */
      readonly problem: string;
    };

/** What the page keeps over a reload. */
export interface Conversation {
  readonly turns: readonly Turn[];
  readonly draft: string;
  readonly system: string;
  readonly sampling: Sampling;
  /** Adapters that take part, by name; the host's active ones until the reader chooses. */
  readonly adapters: readonly ActiveAdapter[];
  readonly isSettingsOpen: boolean;
  readonly isSystemOpen: boolean;
}

export type Change =
  | { kind: "ask"; prompt: string; label: string }
  | { kind: "again"; label: string }
  | { kind: "stream"; event: GenerateEvent }
  | { kind: "finish"; result: GenerateResult }
  | { kind: "fail"; problem: string }
  | { kind: "set"; fields: Partial<Omit<Conversation, "turns">> }
  | { kind: "turns"; turns: readonly Turn[] };

const running = {
  kind: "assistant",
  text: "",
  state: "running",
  tokens: 0,
  tokensPerSecond: 0,
  seed: null,
  problem: "",
} as const;

/** The conversation after a change; what came before is not touched. */
export function changed(before: Conversation, change: Change): Conversation {
  switch (change.kind) {
    case "ask": {
      const turns: Turn[] = [
        ...before.turns,
        { kind: "user", text: change.prompt },
        { ...running, label: change.label },
      ];
      return { ...before, turns, draft: "" };
    }
    case "again":
      return {
        ...before,
        turns: [...withoutLastAnswer(before.turns), { ...running, label: change.label }],
      };
    case "stream":
      return withLast(before, { ...change.event });
    case "finish": {
      const { text, tokens, tokensPerSecond, seed, finish } = change.result;
      return withLast(before, { text, tokens, tokensPerSecond, seed, state: finish });
    }
    case "fail":
      return withLast(before, { state: "failed", problem: change.problem });
    case "set":
      return { ...before, ...change.fields };
    case "turns":
      return { ...before, turns: change.turns };
    default:
      return change satisfies never;
  }
}

function withLast(
  before: Conversation,
  fields: Partial<Extract<Turn, { kind: "assistant" }>>,
): Conversation {
  const last = before.turns.at(-1);
  if (last?.kind !== "assistant") return before;
  return { ...before, turns: [...before.turns.slice(0, -1), { ...last, ...fields }] };
}

function withoutLastAnswer(turns: readonly Turn[]): readonly Turn[] {
  return turns.at(-1)?.kind === "assistant" ? turns.slice(0, -1) : turns;
}

/** What the engine is asked to continue: the turns before the answer under way, failed ones left out. */
export function messagesOf({ turns, system }: Conversation): ChatMessage[] {
  const messages: ChatMessage[] = system.trim() === "" ? [] : [{ role: "system", content: system }];
  for (const [i, turn] of withoutLastAnswer(turns).entries()) {
    if (turn.kind === "user") {
      // A prompt whose answer failed is followed by another prompt; only the last one stands.
      const next = turns[i + 1];
      const isLost = next?.kind === "assistant" && next.state === "failed" && i + 2 < turns.length;
      if (!isLost) messages.push({ role: "user", content: turn.text });
    } else if (turn.state !== "failed") {
      messages.push({ role: "assistant", content: turn.text });
    }
  }
  return messages;
}

/** Parses what an earlier page saved; an answer that was under way is marked as interrupted. */
export function restore(saved: unknown): Conversation {
  const from = (typeof saved === "object" && saved !== null ? saved : {}) as Record<
    string,
    unknown
  >;
  const textOf = (key: string): string => (typeof from[key] === "string" ? from[key] : "");
  const turns = Array.isArray(from["turns"]) ? from["turns"].flatMap(restoreTurn) : [];
  return {
    turns,
    draft: textOf("draft"),
    system: textOf("system"),
    sampling: restoreSampling(from["sampling"]),
    adapters: [],
    isSettingsOpen: from["isSettingsOpen"] === true,
    isSystemOpen: from["isSystemOpen"] === true,
  };
}

function restoreTurn(saved: unknown): Turn[] {
  if (typeof saved !== "object" || saved === null) return [];
  const turn = saved as
    Partial<Extract<Turn, { kind: "assistant" }>> | { kind: "user"; text?: string };
  if (typeof turn.text !== "string") return [];
  if (turn.kind === "user") return [{ kind: "user", text: turn.text }];
  if (turn.kind !== "assistant") return [];
  const state = turn.state === "running" ? "interrupted" : turn.state;
  return [
    { ...running, ...turn, text: turn.text, label: turn.label ?? "", state: state ?? "stop" },
  ];
}
