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

/**
 * Does a pattern repeat a group that repeats inside, "(a+)+"? What does not match it can take longer than
 * anybody waits.
 */
export function repeatsRepeated(pattern: string): boolean {
  const open = [false];
  const parts = pattern.matchAll(/\\[^]|\[\^?\]?(?:\\[^]|[^\]\\])*\]|[()]|[+*]|\{\d*,\d*\}/g);
  for (const { 0: part, index } of parts) {
    if (part === "(") open.push(false);
    else if (part === ")") {
      const inner = open.pop() === true;
      const isRepeated = /^(?:[+*]|\{\d*,?\d*\})/.test(pattern.slice(index + 1));
      if (inner && isRepeated) return true;
      // What stands around it repeats, too, if it does.
      if (inner || isRepeated) open[open.length - 1] = true;
    } else if (/^[+*{]/.test(part)) open[open.length - 1] = true;
  }
  return false;
}
