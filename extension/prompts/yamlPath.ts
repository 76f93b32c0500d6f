/** Where a place in YAML text is, told by indentation alone: also in a file that is not finished. */
export interface YamlPlace {
  /** The keys above, with "[]" for an item of a list: "messages[]". */
  readonly parent: string;
  /** The key of the line, where the place is behind its colon or on it. */
  readonly key: string | null;
  /** In the value, not in the key. */
  readonly isValue: boolean;
  /** What stands before the place in its word. */
  readonly prefix: string;
  /** Keys that the same mapping has already. */
  readonly siblings: readonly string[];
}

interface Line {
  /** Column of the key, behind dashes. */
  readonly indent: number;
  /** Columns of the dashes before it. */
  readonly dashes: readonly number[];
  readonly key: string | null;
  readonly opensBlock: boolean;
}

/** A key, or "[]" for an item, that goes on until something begins at its column or before. */
interface Level {
  readonly indent: number;
  readonly label: string;
}

const leadPattern = /^(?:\s*-(?=\s|$)|\s)*/;
const keyPattern = /^(["']?)([\w.$-]+)\1\s*:(?=\s|$)/;

/** The place at an offset; null inside a comment or a block of text. */
export function yamlPlace(text: string, offset: number): YamlPlace | null {
  const start = text.lastIndexOf("\n", offset - 1) + 1;
  const found = text.indexOf("\n", offset);
  const end = found === -1 ? text.length : found;
  const typed = text.slice(start, offset);
  if (/(^|\s)#/.test(typed.replaceAll(/(["']).*?\1/g, ""))) return null;
  const before = text.slice(0, start).split("\n").slice(0, -1);
  const levels: Level[] = [];
  let block = -1;
  for (const line of before) {
    if (line.trim() === "") continue;
    const read = readLine(line);
    const outer = read.dashes[0] ?? read.indent;
    if (block >= 0 && outer > block) continue;
    block = read.opensBlock ? (levelOf(read) ?? -1) : -1;
    enter(levels, read);
  }
  const own = readLine(text.slice(start, end));
  if (block >= 0 && (own.dashes[0] ?? own.indent) > block) return null;
  enter(levels, { ...own, key: null });
  const colon = own.key === null ? -1 : text.indexOf(":", start + own.indent);
  return {
    parent: levels
      .map(({ label }) => label)
      .join(".")
      .replaceAll(".[]", "[]"),
    key: own.key,
    isValue: colon !== -1 && offset > colon,
    prefix: /[\w./@-]*$/.exec(typed)?.[0] ?? "",
    siblings: siblingsOf(
      before.map(readLine),
      own,
      text
        .slice(end + 1)
        .split("\n")
        .map(readLine),
    ),
  };
}

function readLine(line: string): Line {
  const lead = leadPattern.exec(line)?.[0] ?? "";
  const dashes = [...lead.matchAll(/-/g)].map(({ index }) => index);
  const key = keyPattern.exec(line.slice(lead.length))?.[2] ?? null;
  return { indent: lead.length, dashes, key, opensBlock: /(:|-)\s+[|>][+-]?\d*\s*$/.test(line) };
}

/** The column of what a block of text belongs to. */
function levelOf({ key, indent, dashes }: Line): number | undefined {
  return key === null ? dashes.at(-1) : indent;
}

/** Leaves the levels that a line ends, and goes into those that it begins. */
function enter(levels: Level[], { indent, dashes, key }: Line): void {
  const leave = (isOver: (level: Level) => boolean): void => {
    while (levels.length > 0 && isOver(levels.at(-1) as Level)) levels.pop();
  };
  for (const dash of dashes) {
    // A list may begin right under its key.
    leave((level) => level.indent > dash || (level.indent === dash && level.label === "[]"));
    levels.push({ indent: dash, label: "[]" });
  }
  leave((level) => level.indent >= indent);
  if (key !== null) levels.push({ indent, label: key });
}

function siblingsOf(before: readonly Line[], own: Line, after: readonly Line[]): string[] {
  const found: string[] = [];
  for (const line of own.dashes.length > 0 ? [] : before.toReversed()) {
    if (line.key === null) continue;
    if (line.indent < own.indent) break;
    if (line.indent === own.indent) found.push(line.key);
    // It was the first key of the item.
    if (line.indent === own.indent && line.dashes.length > 0) break;
  }
  for (const line of after) {
    if (line.key === null) continue;
    if (line.indent < own.indent || (line.dashes[0] ?? line.indent) < own.indent) break;
    if (line.indent === own.indent) found.push(line.key);
  }
  return found;
}
