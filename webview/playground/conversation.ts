import type {
  Answer,
  Column,
  ColumnAdapter,
  Exchange,
  PlaygroundSettings,
  SavedConversation,
} from "../../extension/protocol/playgroundContract.ts";
import type { ChatMessage } from "../../extension/protocol/generationContract.ts";
import type { ColumnResult, ColumnSnapshot } from "../../extension/protocol/generationContract.ts";

/** What the page keeps over a reload. */
export interface Conversation extends Readonly<SavedConversation> {
  readonly draft: string;
  readonly showTokens: boolean;
  readonly isSettingsOpen: boolean;
  readonly isSystemOpen: boolean;
}

export type Change =
  | { kind: "ask"; exchange: string; prompt: string; labels: Labels }
  /** Asks an earlier prompt again, perhaps another one in its place; what followed goes. */
  | { kind: "rerun"; exchange: string; prompt: string; labels: Labels }
  /** Takes back the answers of these columns alone. */
  | { kind: "again"; exchange: string; labels: Labels }
  | { kind: "stream"; exchange: string; columns: readonly ColumnSnapshot[] }
  | { kind: "finish"; exchange: string; columns: readonly ColumnResult[] }
  | { kind: "fail"; exchange: string; problem: string }
  | { kind: "cancel"; exchange: string }
  | { kind: "delete"; exchange: string }
  | { kind: "addColumn"; column: Column; at?: number }
  | { kind: "removeColumn"; id: string }
  | { kind: "moveColumn"; id: string; by: number }
  | { kind: "setAdapters"; id: string; adapters: ColumnAdapter[] }
  | { kind: "settings"; settings: Partial<PlaygroundSettings> }
  | { kind: "set"; fields: Partial<Conversation> };

/** Who answers in each column that is asked, by the column's id: "graft-sample + pirate ×1.0". */
export type Labels = Readonly<Record<string, string>>;

const running: Omit<Answer, "label"> = {
  text: "",
  state: "running",
  tokens: 0,
  tokensPerSecond: 0,
  seconds: 0,
  seed: null,
  problem: "",
  details: [],
  changes: [],
};

/** The conversation after a change; what came before is not touched. */
export function changed(before: Conversation, change: Change): Conversation {
  switch (change.kind) {
    case "ask":
    case "rerun":
    case "again":
    case "stream":
    case "finish":
    case "fail":
    case "cancel":
    case "delete":
      return { ...before, ...exchangesAfter(before, change) };
    case "addColumn":
    case "removeColumn":
    case "moveColumn":
    case "setAdapters":
      return { ...before, columns: columnsAfter(before.columns, change) };
    case "settings":
      return { ...before, settings: { ...before.settings, ...change.settings } };
    case "set":
      return { ...before, ...change.fields };
    default:
      return change satisfies never;
  }
}

type ExchangeChange = Extract<Change, { exchange: string }>;
type ColumnChange = Exclude<Extract<Change, { id: string } | { column: Column }>, ExchangeChange>;

function exchangesAfter(before: Conversation, change: ExchangeChange): Partial<Conversation> {
  const { exchanges } = before;
  const at = exchanges.findIndex(({ id }) => id === change.exchange);
  switch (change.kind) {
    case "ask": {
      const { exchange: id, prompt, labels } = change;
      return { exchanges: [...exchanges, { id, prompt, answers: begun(labels) }], draft: "" };
    }
    case "rerun": {
      const { exchange: id, prompt, labels } = change;
      if (at < 0) return {};
      return { exchanges: [...exchanges.slice(0, at), { id, prompt, answers: begun(labels) }] };
    }
    case "delete":
      return { exchanges: exchanges.filter(({ id }) => id !== change.exchange) };
    default:
      return {
        exchanges: exchanges.map((each, i) =>
          i === at ? { ...each, answers: answersAfter(each.answers, change) } : each,
        ),
      };
  }
}

function begun(labels: Labels): Record<string, Answer> {
  return Object.fromEntries(
    Object.entries(labels).map(([column, label]) => [column, { ...running, label }]),
  );
}

function answersAfter(
  answers: Exchange["answers"],
  change: Exclude<ExchangeChange, { kind: "ask" | "rerun" | "delete" }>,
): Exchange["answers"] {
  switch (change.kind) {
    case "again":
      return { ...answers, ...begun(change.labels) };
    case "stream":
      return merged(answers, change.columns, streamed);
    case "finish":
      return merged(answers, change.columns, finished);
    case "fail":
      return ended(answers, { state: "failed", problem: change.problem });
    case "cancel":
      return ended(answers, { state: "cancelled" });
    default:
      return change satisfies never;
  }
}

function merged<T extends { id: string }>(
  answers: Exchange["answers"],
  columns: readonly T[],
  merge: (own: Answer, column: T) => Answer,
): Exchange["answers"] {
  const after = { ...answers };
  for (const column of columns) {
    const own = answers[column.id];
    if (own?.state === "running") after[column.id] = merge(own, column);
  }
  return after;
}

function streamed(
  own: Answer,
  { text, tokens, tokensPerSecond, newTokens }: ColumnSnapshot,
): Answer {
  // Events may be skipped; a gap in the tokens is filled by the result.
  const isNext = newTokens !== undefined && newTokens.from <= own.details.length;
  const details = isNext
    ? [...own.details.slice(0, newTokens.from), ...newTokens.tokens]
    : own.details;
  return { ...own, text, tokens, tokensPerSecond, details };
}

function finished(own: Answer, column: ColumnResult): Answer {
  const { text, tokens, tokensPerSecond, seconds, seed, finish, details, changes, saved } = column;
  return {
    ...own,
    ...{ text, tokens, tokensPerSecond, seconds, seed, state: finish },
    details: details ?? own.details,
    changes: changes.map(({ from }) => from),
    saved,
  };
}

function ended(answers: Exchange["answers"], fields: Partial<Answer>): Exchange["answers"] {
  const end = (answer: Answer): Answer =>
    answer.state === "running" ? { ...answer, ...fields } : answer;
  return Object.fromEntries(Object.entries(answers).map(([id, answer]) => [id, end(answer)]));
}

function columnsAfter(columns: Column[], change: ColumnChange): Column[] {
  switch (change.kind) {
    case "addColumn":
      return columns.toSpliced(change.at ?? columns.length, 0, change.column);
    case "removeColumn":
      return columns.length > 1 ? columns.filter(({ id }) => id !== change.id) : columns;
    case "moveColumn": {
      const from = columns.findIndex(({ id }) => id === change.id);
      const to = Math.min(Math.max(from + change.by, 0), columns.length - 1);
      const moved = columns[from];
      return moved ? columns.toSpliced(from, 1).toSpliced(to, 0, moved) : columns;
    }
    case "setAdapters": {
      const { id, adapters } = change;
      return columns.map((column) => (column.id === id ? { ...column, adapters } : column));
    }
    default:
      return change satisfies never;
  }
}

/**
 * What a column is asked to continue: every exchange before this one that it answered, each with its
 * own answer, and this one's prompt. Without `exchange`: all of them, and then the draft.
 */
export function messagesOf(
  { exchanges, settings, draft }: Conversation,
  column: string,
  exchange?: string,
): ChatMessage[] {
  const { system } = settings;
  const messages: ChatMessage[] = system.trim() === "" ? [] : [{ role: "system", content: system }];
  for (const { id, prompt, answers } of exchanges) {
    if (id === exchange) return [...messages, { role: "user", content: prompt }];
    const answer = answers[column];
    if (answer === undefined || answer.state === "failed") continue;
    messages.push({ role: "user", content: prompt }, { role: "assistant", content: answer.text });
  }
  return draft.trim() === "" ? messages : [...messages, { role: "user", content: draft.trim() }];
}

/** What is kept in the history: the conversation without the state of the page. */
export function savedOf(conversation: Conversation): SavedConversation {
  const { id, changed: when, columns, settings, exchanges } = conversation;
  return { id, changed: when, columns, settings, exchanges };
}

export function isRunning({ exchanges }: Conversation): boolean {
  return exchanges.some(({ answers }) =>
    Object.values(answers).some(({ state }) => state === "running"),
  );
}
