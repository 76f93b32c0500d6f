/** Alternatives in a regular expression, each on its own. */

interface Alternative {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/** Longer patterns are no one's writing, and each alternative is tried on every module. */
const longest = 2000;

/**
 * The alternatives of a pattern that alone would match nothing, by their place in it: in
 * ".*\.(q_proj|k_porj)" the second.
 * @param isDead whether a pattern, the given one with a group cut down to one alternative, matches nothing
 */
export function deadAlternatives(
  pattern: string,
  isDead: (pattern: string) => boolean,
): Alternative[] {
  if (pattern.length > longest || isDead(pattern)) return [];
  return groups(pattern).flatMap((alternatives) => {
    if (alternatives.length < 2) return [];
    const [first, last] = [alternatives[0] as Alternative, alternatives.at(-1) as Alternative];
    const only = (one: Alternative): string =>
      pattern.slice(0, first.start) + one.text + pattern.slice(last.end);
    const dead = alternatives.filter((one) => one.text !== "" && isDead(only(one)));
    // One that is meant for nothing else than a prefix of another is no mistake.
    return dead.length === alternatives.length ? [] : dead;
  });
}

/** The alternatives of the whole pattern and of each of its groups. */
function groups(pattern: string): Alternative[][] {
  const done: Alternative[][] = [];
  const open: { bars: number[]; start: number }[] = [{ bars: [], start: 0 }];
  const close = (end: number): void => {
    const group = open.pop();
    if (!group) return;
    const cuts = [group.start - 1, ...group.bars, end];
    done.push(
      cuts.slice(1).map((cut, i) => {
        const start = (cuts[i] as number) + 1;
        return { text: pattern.slice(start, cut), start, end: cut };
      }),
    );
  };
  for (const { 0: part, index } of pattern.matchAll(
    /\\[^]|\[\^?\]?(?:\\[^]|[^\]\\])*\]|\((?:\?(?:P<\w+>|[:=!]|<[=!]))?|[)|]/g,
  )) {
    if (part.startsWith("(")) open.push({ bars: [], start: index + part.length });
    else if (part === ")" && open.length > 1) close(index);
    else if (part === "|") open.at(-1)?.bars.push(index);
  }
  while (open.length > 0) close(pattern.length);
  return done;
}
