import type { ActiveAdapter } from "../protocol/engineContract.ts";
import type { State } from "../state.ts";

/**
 * Who answers when answers are compared: the base, each loaded adapter by itself with the weight that
 * it has, and what is active together. Those that have answered already are left out.
 */
export function comparedSpeakers(
  { loaded, active }: Pick<State, "loaded" | "active">,
  answered: readonly (readonly ActiveAdapter[])[],
): ActiveAdapter[][] {
  const single = loaded.map(({ name }): ActiveAdapter[] => {
    const own = active.find((each) => each.name === name);
    return [own ?? { name, weight: 1 }];
  });
  const together = active.length > 1 ? [[...active]] : [];
  const known = new Set(answered.map(keyOf));
  return [[], ...single, ...together].filter((each) => !known.has(keyOf(each)));
}

function keyOf(adapters: readonly ActiveAdapter[]): string {
  return adapters.map(({ name, weight, task }) => `${name}×${weight}:${task ?? 0}`).join("+");
}
