import {
  findNodeAtLocation,
  getNodePath,
  type Node,
  type ParseError,
  parseTree,
} from "jsonc-parser";

export type JsonPath = readonly (string | number)[];

/** A place in a text. */
export interface Span {
  readonly offset: number;
  readonly length: number;
}

/** An adapter_config.json as the editor has it, with the places of its parts; may be half written. */
export interface ConfigDocument {
  readonly text: string;
  /** False while something is being written: the syntax has errors. */
  readonly isWhole: boolean;
  /** The fields that can be read. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** The place of a value; null where there is none. */
  value(path: JsonPath): Span | null;
  /** The place of a key, with its quotes. */
  key(path: JsonPath): Span | null;
  /** The part that a place belongs to: its path, and whether the place is on the key. */
  at(offset: number): { path: (string | number)[]; isKey: boolean; span: Span } | null;
}

/** @returns null for a text that is no object, not even a beginning of one */
export function readDocument(text: string): ConfigDocument | null {
  const errors: ParseError[] = [];
  const root = parseTree(text, errors, { disallowComments: true });
  if (root?.type !== "object") return null;
  const find = (path: JsonPath): Node | undefined => findNodeAtLocation(root, [...path]);
  return {
    text,
    isWhole: errors.length === 0,
    fields: valueOf(root) as Record<string, unknown>,
    value: (path) => spanOf(find(path)),
    key: (path) => {
      const parent = find(path)?.parent;
      return parent?.type === "property" ? spanOf(parent.children?.[0]) : null;
    },
    at: (offset) => partAt(root, offset),
  };
}

function spanOf(node: Node | undefined): Span | null {
  return node ? { offset: node.offset, length: node.length } : null;
}

/** Like jsonc-parser's getNodeValue, but keys that are not finished yet are left out. */
function valueOf(node: Node): unknown {
  if (node.type === "array") return (node.children ?? []).map(valueOf);
  if (node.type !== "object") return node.value as unknown;
  const entries = (node.children ?? []).flatMap(({ children = [] }): [string, unknown][] => {
    const [key, value] = children;
    return key && value ? [[String(key.value), valueOf(value)]] : [];
  });
  return Object.fromEntries(entries);
}

function partAt(root: Node, offset: number): ReturnType<ConfigDocument["at"]> {
  let node = root;
  for (;;) {
    const inner = node.children?.find(
      (each) => each.offset <= offset && offset <= each.offset + each.length,
    );
    if (!inner) break;
    node = inner;
  }
  if (node === root) return null;
  const span = { offset: node.offset, length: node.length };
  const isKey = node.parent?.type === "property" && node.parent.children?.[0] === node;
  const [, value] = node.parent?.children ?? [];
  const owner = isKey ? value : node;
  if (owner) return { path: getNodePath(owner), isKey, span };
  const before = node.parent?.parent ? getNodePath(node.parent.parent) : [];
  return { path: [...before, String(node.value)], isKey, span };
}

/**
 * The place in the text of a part of a string's value: escapes take more letters than they stand for.
 * @param value the place of the string with its quotes
 */
export function insideString(
  text: string,
  value: Span,
  part: { start: number; end: number },
): Span {
  const offsets: number[] = [];
  const end = value.offset + value.length - 1;
  for (let at = value.offset + 1; at < end;) {
    offsets.push(at);
    if (text[at] !== "\\") at += 1;
    else at += text[at + 1] === "u" ? 6 : 2;
  }
  const from = offsets[part.start] ?? end;
  return { offset: from, length: (offsets[part.end] ?? end) - from };
}
