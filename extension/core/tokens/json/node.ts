/** A JSON schema, made ready for reading values byte by byte. */
export type Node = { readonly id: number } & (
  | LiteralNode
  | StringNode
  | NumberNode
  | ObjectNode
  | ArrayNode
  | { readonly kind: "choice"; readonly options: readonly Node[] }
  /** Of a `$ref`, which may lead to what it stands in; set once that is known. */
  | { readonly kind: "reference"; to: Node | null }
);

/** One of several values, each spelled in one way. */
export interface LiteralNode {
  readonly kind: "literal";
  readonly root: Trie;
}

/** Lengths are in characters; `max` may be Infinity. */
export interface StringNode {
  readonly kind: "string";
  readonly min: number;
  readonly max: number;
}

export interface NumberNode {
  readonly kind: "number";
  readonly isInteger: boolean;
  /** "positive" only of integers. */
  readonly sign: "any" | "nonnegative" | "positive";
}

export interface ObjectNode {
  readonly kind: "object";
  /** Spellings of the known names without quotes; their values are places in `values`. */
  readonly names: Trie;
  readonly values: readonly Node[];
  /** Places of names that must be there. */
  readonly required: readonly number[];
  /** What other names may have; null where there are none. */
  readonly rest: Node | null;
  /** The schema forbids other names, where `rest` may be null because none are wanted. */
  readonly isClosed: boolean;
}

export interface ArrayNode {
  readonly kind: "array";
  readonly prefix: readonly Node[];
  /** After the prefix; null for none. */
  readonly items: Node | null;
  readonly min: number;
  readonly max: number;
}

/** Byte strings, each with a number at its end. */
export interface Trie {
  readonly id: number;
  readonly next: Map<number, Trie>;
  end: number | null;
}

let tries = 0;

/** Of equal texts the first one's number counts. */
export function trieOf(texts: readonly string[]): Trie {
  const make = (): Trie => ({ id: ++tries, next: new Map(), end: null });
  const root = make();
  texts.forEach((text, i) => {
    let at = root;
    for (const byte of new TextEncoder().encode(text)) {
      const next = at.next.get(byte) ?? make();
      at.next.set(byte, next);
      at = next;
    }
    at.end ??= i;
  });
  return root;
}

/** What a reference stands for. */
export function resolved(node: Node): Exclude<Node, { kind: "reference" }> {
  let at = node;
  while (at.kind === "reference") at = at.to as Node;
  return at;
}
