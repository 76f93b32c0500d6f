import type {
  Answer,
  Column,
  ColumnAdapter,
  Exchange,
  PlaygroundSettings,
} from "../../extension/protocol/playgroundContract.ts";
import type { TokenAlternative, TokenDetail } from "../../extension/protocol/generationContract.ts";
import type { Conversation } from "./conversation.ts";
import { restoreSampling } from "./settings.ts";

type Unknown = Readonly<Record<string, unknown>>;

/** Parses what an earlier page or the history kept; an answer under way is marked as interrupted. */
export function restore(saved: unknown): Conversation {
  const from = fieldsOf(saved);
  const columns = listOf(from["columns"]).flatMap(restoreColumn);
  return {
    id: textOf(from["id"]) || newId(),
    changed: numberOf(from["changed"]),
    columns: columns.length > 0 ? columns : [{ id: "c1", adapters: [] }],
    exchanges: listOf(from["exchanges"]).flatMap(restoreExchange),
    settings: restoreSettings(from["settings"]),
    draft: textOf(from["draft"]),
    showTokens: from["showTokens"] === true,
    isSettingsOpen: from["isSettingsOpen"] === true,
    isSystemOpen: from["isSystemOpen"] === true,
  };
}

export function restoreSettings(saved: unknown): PlaygroundSettings {
  const from = fieldsOf(saved);
  const json = fieldsOf(from["json"]);
  return {
    system: textOf(from["system"]),
    sampling: restoreSampling(from["sampling"]),
    stop: listOf(from["stop"]).filter((each): each is string => typeof each === "string"),
    json: { isOn: json["isOn"] === true, schema: textOf(json["schema"]) },
  };
}

export function restoreColumn(saved: unknown): Column[] {
  const { id, adapters } = fieldsOf(saved);
  if (typeof id !== "string" || id === "") return [];
  return [{ id, adapters: listOf(adapters).flatMap(restoreAdapter) }];
}

function restoreAdapter(saved: unknown): ColumnAdapter[] {
  const { name, weight, path, task } = fieldsOf(saved);
  if (typeof name !== "string" || typeof weight !== "number") return [];
  return [
    {
      name,
      weight,
      ...(typeof path === "string" && { path }),
      ...(typeof task === "number" && { task }),
    },
  ];
}

function restoreExchange(saved: unknown): Exchange[] {
  const { id, prompt, answers } = fieldsOf(saved);
  if (typeof id !== "string" || typeof prompt !== "string") return [];
  const kept = Object.entries(fieldsOf(answers)).flatMap(([column, answer]) =>
    restoreAnswer(answer).map((each) => [column, each] as const),
  );
  return [{ id, prompt, answers: Object.fromEntries(kept) }];
}

const ends: readonly Answer["state"][] = ["stop", "length", "context", "cancelled", "failed"];

function restoreAnswer(saved: unknown): Answer[] {
  const from = fieldsOf(saved);
  if (typeof from["text"] !== "string") return [];
  const { seed } = from;
  return [
    {
      label: textOf(from["label"]),
      text: from["text"],
      state: ends.find((each) => each === from["state"]) ?? "interrupted",
      tokens: numberOf(from["tokens"]),
      tokensPerSecond: numberOf(from["tokensPerSecond"]),
      seconds: numberOf(from["seconds"]),
      seed: typeof seed === "number" ? seed : null,
      problem: textOf(from["problem"]),
      details: listOf(from["details"]).flatMap(restoreDetail),
      changes: listOf(from["changes"]).filter((each) => typeof each === "number"),
    },
  ];
}

function restoreDetail(saved: unknown): TokenDetail[] {
  const { piece, alternatives } = fieldsOf(saved);
  return restoreAlternative(saved).map((token) => ({
    ...token,
    piece: textOf(piece),
    alternatives: listOf(alternatives).flatMap(restoreAlternative),
  }));
}

function restoreAlternative(saved: unknown): TokenAlternative[] {
  const { id, text, probability } = fieldsOf(saved);
  if (typeof id !== "number" || typeof text !== "string") return [];
  return [{ id, text, probability: numberOf(probability) }];
}

/** Ids only have to differ from each other. */
export function newId(): string {
  return `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 10)}`;
}

/** "c2": an id that no column has. */
export function freshColumnId(columns: readonly Column[]): string {
  const numbers = columns.map(({ id }) => Number(id.slice(1)) || 0);
  return `c${Math.max(0, ...numbers) + 1}`;
}

function fieldsOf(value: unknown): Unknown {
  return typeof value === "object" && value !== null ? (value as Unknown) : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function numberOf(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}
