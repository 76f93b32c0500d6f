import type { Node, ObjectNode, Trie } from "./node.ts";
import { isWholeNumber, numberAfter, numberFrom, type NumberState } from "./number.ts";
import { broken, plain, textAfter } from "./text.ts";

/** Blanks in one place; a weak model would go on with them for ever. */
const mostBlanks = 32;
/** Arrays and objects in one another: parsers of other languages have limits too. */
const mostLevels = 64;

const quote = 0x22;
const comma = 0x2c;

type Of<N, Kind> = Extract<N, { kind: Kind }>;

/** What is expected next, and inside what. */
export type Frame =
  | { kind: "value"; node: Node; blanks: number }
  | { kind: "literal"; at: Trie }
  | { kind: "number"; node: Of<Node, "number">; state: NumberState }
  | { kind: "string"; node: Of<Node, "string">; count: number; text: number }
  /** `at` is "{", a comma or a name's colon that comes next; `used` has a bit for each known name. */
  | { kind: "object"; node: Of<Node, "object">; used: bigint; at: ObjectPlace; blanks: number }
  | { kind: "name"; node: Of<Node, "object">; used: bigint; trie: Trie }
  | { kind: "freeName"; node: Of<Node, "object">; used: bigint; trie: Trie | null; text: number }
  | { kind: "colon"; value: Node; blanks: number }
  | { kind: "array"; node: Of<Node, "array">; count: number; isOpen: boolean; blanks: number };

/** After "{", after a value, after a comma. */
type ObjectPlace = "open" | "value" | "comma";

/** Frames in one another; equal ones are the same object. */
export interface Stack {
  readonly id: number;
  readonly frame: Frame;
  readonly below: Stack | null;
  readonly level: number;
}

type Emit = (stack: Stack | null) => void;

/** Reads JSON values byte by byte: which stacks may stand after a byte. `null` is the value's end. */
export class JsonReader {
  private readonly stacks = new Map<string, Stack>();

  begin(node: Node): Stack {
    return this.push({ kind: "value", node, blanks: 0 }, null);
  }

  /** True where the value may end although it could go on. */
  static canEnd({ frame, below }: Stack): boolean {
    return below === null && canPop(frame);
  }

  /** How many plain characters may follow in a row, whichever they are; 0 outside of free text. */
  static room({ frame }: Stack): number {
    if (frame.kind === "freeName") return frame.text === plain ? Infinity : 0;
    return frame.kind === "string" && frame.text === plain ? frame.node.max - frame.count : 0;
  }

  /** True where it makes no difference which plain character follows. */
  static readsAlike({ frame }: Stack): boolean {
    if (frame.kind === "freeName") return frame.text === plain && frame.trie === null;
    return frame.kind === "string" && frame.text === plain;
  }

  step(stack: Stack, byte: number, emit: Emit): void {
    const { frame, below } = stack;
    switch (frame.kind) {
      case "value":
        if (isBlank(byte)) return this.blank(frame, below, emit);
        return this.start(frame.node, byte, { below, emit });
      case "literal": {
        const at = frame.at.next.get(byte);
        if (at) this.literal(at, below, emit);
        else if (canPop(frame) && below) this.step(below, byte, emit);
        return;
      }
      case "number": {
        const state = numberAfter(frame.node, frame.state, byte);
        if (state) emit(this.push({ ...frame, state }, below));
        else if (canPop(frame) && below) this.step(below, byte, emit);
        return;
      }
      case "string":
        return this.string(frame, byte, { below, emit });
      case "object":
        return this.object(frame, byte, { below, emit });
      case "name":
        return this.name(frame, byte, { below, emit });
      case "freeName":
        return this.freeName(frame, byte, { below, emit });
      case "colon":
        if (isBlank(byte)) return this.blank(frame, below, emit);
        if (byte === 0x3a) emit(this.push({ kind: "value", node: frame.value, blanks: 0 }, below));
        return;
      case "array":
        return this.array(frame, byte, { below, emit });
      default:
        return frame satisfies never;
    }
  }

  private blank(frame: Extract<Frame, { blanks: number }>, below: Stack | null, emit: Emit): void {
    if (frame.blanks < mostBlanks) emit(this.push({ ...frame, blanks: frame.blanks + 1 }, below));
  }

  /** A value's first byte. */
  private start(node: Node, byte: number, to: { below: Stack | null; emit: Emit }): void {
    const { below, emit } = to;
    const level = below?.level ?? 0;
    switch (node.kind) {
      case "reference":
        return this.start(node.to as Node, byte, to);
      case "choice":
        for (const option of node.options) this.start(option, byte, to);
        return;
      case "literal": {
        const at = node.root.next.get(byte);
        if (at) this.literal(at, below, emit);
        return;
      }
      case "string":
        if (byte === quote) emit(this.push({ kind: "string", node, count: 0, text: plain }, below));
        return;
      case "number": {
        const state = numberFrom(node, byte);
        if (state) emit(this.push({ kind: "number", node, state }, below));
        return;
      }
      case "object":
        if (byte !== 0x7b || level >= mostLevels) return;
        return emit(this.push({ kind: "object", node, used: 0n, at: "open", blanks: 0 }, below));
      case "array":
        if (byte !== 0x5b || level >= mostLevels) return;
        return emit(this.push({ kind: "array", node, count: 0, isOpen: true, blanks: 0 }, below));
      default:
        return node satisfies never;
    }
  }

  private literal(at: Trie, below: Stack | null, emit: Emit): void {
    if (at.end !== null && at.next.size === 0) emit(below);
    else emit(this.push({ kind: "literal", at }, below));
  }

  private string(
    frame: Extract<Frame, { kind: "string" }>,
    byte: number,
    { below, emit }: { below: Stack | null; emit: Emit },
  ): void {
    const { node, count, text } = frame;
    if (text === plain && byte === quote) {
      if (count >= node.min) emit(below);
      return;
    }
    if (text === plain && count >= node.max) return;
    const after = textAfter(text, byte, true);
    if (after === broken) return;
    // Where there is no bound above, what is beyond the lower one need not be told apart.
    const next = node.max === Infinity ? Math.min(count + 1, node.min) : count + 1;
    emit(this.push({ ...frame, count: after === plain ? next : count, text: after }, below));
  }

  private object(
    frame: Extract<Frame, { kind: "object" }>,
    byte: number,
    { below, emit }: { below: Stack | null; emit: Emit },
  ): void {
    const { node, used, at } = frame;
    if (isBlank(byte)) return this.blank(frame, below, emit);
    if (byte === 0x7d && at !== "comma") {
      if (node.required.every((place) => has(used, place))) emit(below);
      return;
    }
    if (!canGoOn(node, used)) return;
    if (byte === comma && at === "value") {
      return emit(this.push({ ...frame, at: "comma", blanks: 0 }, below));
    }
    if (byte !== quote || at === "value") return;
    if (node.values.length > 0)
      emit(this.push({ kind: "name", node, used, trie: node.names }, below));
    if (node.rest) {
      emit(this.push({ kind: "freeName", node, used, trie: node.names, text: plain }, below));
    }
  }

  /** A name that the schema knows; each may stand once. */
  private name(
    { node, used, trie }: Extract<Frame, { kind: "name" }>,
    byte: number,
    { below, emit }: { below: Stack | null; emit: Emit },
  ): void {
    const next = trie.next.get(byte);
    // A quote inside a name follows a backslash, where no name ends.
    if (byte === quote && !next) {
      if (trie.end === null || has(used, trie.end)) return;
      const now = used | (1n << BigInt(trie.end));
      return emit(this.named(node, now, { value: node.values[trie.end] as Node, below }));
    }
    if (next && leadsToUnused(next, used)) {
      emit(this.push({ kind: "name", node, used, trie: next }, below));
    }
  }

  /** Another name. Where there are known ones it has no escapes, which could spell one of them. */
  private freeName(
    frame: Extract<Frame, { kind: "freeName" }>,
    byte: number,
    { below, emit }: { below: Stack | null; emit: Emit },
  ): void {
    const { node, used, trie, text } = frame;
    if (text === plain && byte === quote) {
      if (trie && trie.end !== null) return;
      return emit(this.named(node, used, { value: node.rest as Node, below }));
    }
    const after = textAfter(text, byte, node.values.length === 0);
    if (after === broken) return;
    emit(this.push({ ...frame, trie: trie?.next.get(byte) ?? null, text: after }, below));
  }

  private named(
    node: Of<Node, "object">,
    used: bigint,
    { value, below }: { value: Node; below: Stack | null },
  ): Stack {
    const rest = this.push({ kind: "object", node, used, at: "value", blanks: 0 }, below);
    return this.push({ kind: "colon", value, blanks: 0 }, rest);
  }

  private array(
    frame: Extract<Frame, { kind: "array" }>,
    byte: number,
    { below, emit }: { below: Stack | null; emit: Emit },
  ): void {
    const { node, count, isOpen } = frame;
    if (isBlank(byte)) return this.blank(frame, below, emit);
    if (byte === 0x5d) {
      if (count >= node.min) emit(below);
      return;
    }
    const item = count < node.max ? (node.prefix[count] ?? node.items) : null;
    if (!item) return;
    const bound = node.max === Infinity ? Math.max(node.min, node.prefix.length) : Infinity;
    const next = Math.min(count + 1, bound);
    const rest = { kind: "array" as const, node, count: next, isOpen: false, blanks: 0 };
    if (isOpen) return this.start(item, byte, { below: this.push(rest, below), emit });
    if (byte !== comma) return;
    emit(this.push({ kind: "value", node: item, blanks: 0 }, this.push(rest, below)));
  }

  private push(frame: Frame, below: Stack | null): Stack {
    const key = `${below?.id ?? 0} ${keyOf(frame)}`;
    const known = this.stacks.get(key);
    if (known) return known;
    const isLevel = frame.kind === "object" || frame.kind === "array";
    const level = (below?.level ?? 0) + (isLevel ? 1 : 0);
    const stack = { id: this.stacks.size + 1, frame, below, level };
    this.stacks.set(key, stack);
    return stack;
  }
}

function keyOf(frame: Frame): string {
  switch (frame.kind) {
    case "value":
      return `v${frame.node.id},${frame.blanks}`;
    case "literal":
      return `l${frame.at.id}`;
    case "number":
      return `n${frame.node.id},${frame.state.part},${frame.state.digits}`;
    case "string":
      return `s${frame.node.id},${frame.count},${frame.text}`;
    case "object":
      return `o${frame.node.id},${frame.used.toString(36)},${frame.at},${frame.blanks}`;
    case "name":
      return `k${frame.node.id},${frame.used.toString(36)},${frame.trie.id}`;
    case "freeName":
      return `f${frame.node.id},${frame.used.toString(36)},${frame.trie?.id ?? 0},${frame.text}`;
    case "colon":
      return `c${frame.value.id},${frame.blanks}`;
    case "array":
      return `a${frame.node.id},${frame.count},${frame.isOpen},${frame.blanks}`;
    default:
      return frame satisfies never;
  }
}

/** A number, or a literal that begins another, ends only where something else follows. */
function canPop(frame: Frame): boolean {
  return (
    (frame.kind === "number" && isWholeNumber(frame.state)) ||
    (frame.kind === "literal" && frame.at.end !== null)
  );
}

function canGoOn({ values, rest }: ObjectNode, used: bigint): boolean {
  return rest !== null || values.some((_, place) => !has(used, place));
}

function leadsToUnused(trie: Trie, used: bigint): boolean {
  if (trie.end !== null && !has(used, trie.end)) return true;
  return [...trie.next.values()].some((next) => leadsToUnused(next, used));
}

function has(bits: bigint, place: number): boolean {
  return ((bits >> BigInt(place)) & 1n) === 1n;
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
