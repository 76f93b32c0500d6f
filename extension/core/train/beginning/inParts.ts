/** What may stand in memory at once beside a base, in bytes. */
const budget = 256e6;

/** Neighbours together as long as they fit; at least one a part. */
export function inParts<T>(all: readonly T[], bytes: (each: T) => number): T[][] {
  const parts: T[][] = [];
  let room = 0;
  for (const each of all) {
    const own = bytes(each);
    const last = parts.at(-1);
    if (!last || own > room) {
      parts.push([each]);
      room = budget - own;
    } else {
      last.push(each);
      room -= own;
    }
  }
  return parts;
}
