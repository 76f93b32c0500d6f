import type { ActiveAdapter } from "../protocol/engineContract.ts";
import type { State } from "../state.ts";

/** A base, with or without adapters, as a model that chats. */
export interface ChatModel {
  readonly id: string;
  readonly name: string;
  readonly family: string;
  readonly method: string | null;
  /** The base's folder. */
  readonly base: string;
  readonly isLoaded: boolean;
  /** Tokens of prompt and answer together; 0 where that is not known before it is loaded. */
  readonly contextLength: number;
  /** Which adapters answer; null are those that are active when it is asked. */
  readonly adapters: ActiveAdapter[] | null;
}

/**
 * What can chat now: the loaded base alone, with each of its adapters, and with its active mix. Where no
 * base is loaded, those that were found, which are loaded when they are first asked.
 */
export function chatModels(state: State): ChatModel[] {
  const { base, loaded, active, bases } = state;
  if (!base) {
    return bases
      .filter(({ unsupported }) => unsupported === undefined)
      .map(({ path, name, modelType }) => ({
        ...{ id: name, name, family: modelType, method: null, base: path },
        ...{ isLoaded: false, contextLength: 0, adapters: [] },
      }));
  }
  if (!base.hasChatTemplate || base.task !== "language-modeling") return [];
  const { path, name, modelType: family, contextLength } = base;
  const own = { family, base: path, isLoaded: true, contextLength };
  const isMix = active.length > 1 || active.some(({ weight }) => weight !== 1);
  const label = active.map((each) =>
    each.weight === 1 ? each.name : `${each.name} ×${each.weight}`,
  );
  return [
    { ...own, id: name, name, method: null, adapters: [] },
    ...loaded.map((adapter) => ({
      ...{ ...own, id: `${name}+${adapter.name}`, name: `${name} + ${adapter.name}` },
      ...{ method: adapter.method, adapters: [{ name: adapter.name, weight: 1 }] },
    })),
    ...(isMix
      ? [
          {
            ...own,
            id: `${name}+*`,
            name: `${name} + ${label.join(" + ")}`,
            method: null,
            adapters: null,
          },
        ]
      : []),
  ];
}
