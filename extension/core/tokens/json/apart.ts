import { JsonMachine } from "./machine.ts";
import { type Node, type ObjectNode, resolved, type Trie } from "./node.ts";

/** Schemas in one another that are looked into to tell two apart. */
const deepest = 8;

/**
 * True where no value can fit both schemas; false where that is not certain.
 * @param narrowed nodes that stand for less than what fits their schemas
 */
export function areApart(one: Node, other: Node, narrowed: ReadonlySet<Node>, depth = 0): boolean {
  const [a, b] = [resolved(one), resolved(other)];
  if (depth > deepest || narrowed.has(a) || narrowed.has(b)) return false;
  const apart = (x: Node, y: Node): boolean => areApart(x, y, narrowed, depth + 1);
  if (a.kind === "choice") return a.options.every((each) => apart(each, b));
  if (b.kind === "choice") return b.options.every((each) => apart(a, each));
  if (a.kind === "literal") return spellings(a.root).every((bytes) => !mayFit(b, bytes));
  if (b.kind === "literal") return apart(b, a);
  if (a.kind !== b.kind) return true;
  if (a.kind !== "object" || b.kind !== "object") return false;
  return hasOwnName(a, b, apart) || hasOwnName(b, a, apart);
}

/** A name that one needs and the other forbids, or both need with values that are apart. */
function hasOwnName(a: ObjectNode, b: ObjectNode, apart: (x: Node, y: Node) => boolean): boolean {
  const others = new Map(namesOf(b.names));
  return namesOf(a.names).some(([name, place]) => {
    if (!a.required.includes(place)) return false;
    const other = others.get(name);
    if (other === undefined) return b.isClosed;
    return b.required.includes(other) && apart(a.values[place] as Node, b.values[other] as Node);
  });
}

/** Numbers, objects and arrays can be spelled in many ways: their kind decides. */
function mayFit(node: ReturnType<typeof resolved>, bytes: readonly number[]): boolean {
  const first = String.fromCharCode(bytes[0] ?? 0);
  const isPlain = first !== "{" && first !== "[";
  if (first === '"' || (node.kind === "literal" && isPlain)) {
    return new JsonMachine(node).read(bytes)?.canEnd === true;
  }
  if (node.kind === "literal") return node.root.next.has(bytes[0] as number);
  if (first === "{") return node.kind === "object";
  if (first === "[") return node.kind === "array";
  return node.kind === "number" && /[-0-9]/.test(first);
}

function spellings(root: Trie, before: readonly number[] = []): number[][] {
  const own = root.end === null ? [] : [[...before]];
  return [...own, ...[...root.next].flatMap(([byte, next]) => spellings(next, [...before, byte]))];
}

function namesOf(root: Trie): [name: string, place: number][] {
  const walk = (at: Trie, name: string): [string, number][] => [
    ...(at.end === null ? [] : [[name, at.end] as [string, number]]),
    ...[...at.next].flatMap(([byte, next]) => walk(next, `${name},${byte}`)),
  ];
  return walk(root, "");
}
