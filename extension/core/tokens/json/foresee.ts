import { perObject } from "../../base/perObject.ts";
import type { JsonMachine, Place } from "./machine.ts";
import { type Node, type ObjectNode, resolved, type Trie } from "./node.ts";
import type { Frame, Stack } from "./reader.ts";
import { plain } from "./text.ts";

/** Bytes that are foreseen at once: a few names. */
const mostBytes = 96;

/** Where an answer puts blanks. */
interface Spacing {
  readonly colon: string;
  readonly comma: string;
  /** Of one level; null where values stand in one line. */
  readonly indent: string | null;
}

/**
 * Bytes that will likely follow: those that the schema leaves no choice about, with names in the
 * schema's order and blanks as the text has them so far. Where a value is free, nothing is foreseen.
 * @param text how the answer begins
 */
export function foresee(machine: JsonMachine, from: Place, text: string): Uint8Array {
  const spacing = spacingOf(text);
  const bytes: number[] = [];
  let place = from;
  while (bytes.length < mostBytes) {
    const piece = place.stacks.map((stack) => likely(stack, spacing)).find(Boolean);
    if (!piece) break;
    for (const byte of piece) {
      const after = machine.after(place, byte);
      if (!after) return Uint8Array.from(bytes);
      bytes.push(byte);
      place = after;
    }
  }
  return Uint8Array.from(bytes);
}

/** Until an answer has shown otherwise, as Python's and most models' JSON is spaced. */
function spacingOf(text: string): Spacing {
  const after = (mark: RegExp): string | undefined => mark.exec(text)?.[1];
  const lines = after(/^\s*[{[]\n([ \t]*)\S/);
  return {
    colon: after(/":(\s*)\S/) ?? " ",
    comma: after(/,(\s*)\S/) ?? " ",
    indent: lines ?? null,
  };
}

type Piece = readonly number[] | null;

function likely({ frame, below, level }: Stack, spacing: Spacing): Piece {
  switch (frame.kind) {
    case "value":
      return behind(frame, leadOf(below, spacing), beginning(frame.node));
    case "literal":
      return onlyWay(frame.at);
    case "string":
      return frame.text === plain && frame.count === frame.node.max ? bytesOf('"') : null;
    case "object":
      return inObject(frame, level, spacing);
    case "name":
      return nextName(frame.trie, frame);
    case "colon":
      return frame.blanks === 0 ? bytesOf(":") : null;
    case "array":
      return inArray(frame, level, spacing);
    case "number":
    case "freeName":
      return null;
    default:
      return frame satisfies never;
  }
}

function inObject(
  { node, used, at, blanks }: Extract<Frame, { kind: "object" }>,
  level: number,
  spacing: Spacing,
): Piece {
  const isMore = firstFree(node.names, used) < Infinity;
  if (!isMore && node.rest) return null;
  const lead = isMore && at === "comma" ? commaLead(level, spacing) : lineOf(level, spacing);
  if (isMore) {
    return at === "value" ? bytesOf(",") : behind({ blanks }, lead, bytesOf('"'));
  }
  return behind({ blanks }, at === "open" ? "" : lineOf(level - 1, spacing), bytesOf("}"));
}

function inArray(
  { node, count, isOpen, blanks }: Extract<Frame, { kind: "array" }>,
  level: number,
  spacing: Spacing,
): Piece {
  const item = count < node.max ? (node.prefix[count] ?? node.items) : null;
  if (!item) return behind({ blanks }, isOpen ? "" : lineOf(level - 1, spacing), bytesOf("]"));
  if (isOpen) return behind({ blanks }, lineOf(level, spacing), beginning(item));
  return count < node.min ? bytesOf(",") : null;
}

/** What stands before a value: behind a colon, or behind a comma of an array. */
function leadOf(below: Stack | null, spacing: Spacing): string {
  if (!below) return "";
  return below.frame.kind === "array" ? commaLead(below.level, spacing) : spacing.colon;
}

function commaLead(level: number, spacing: Spacing): string {
  return spacing.indent === null ? spacing.comma : lineOf(level, spacing);
}

function lineOf(level: number, { indent }: Spacing): string {
  return indent === null ? "" : `\n${indent.repeat(level)}`;
}

/** A piece with blanks before it, unless there are some already. */
function behind({ blanks }: { blanks: number }, lead: string, piece: Piece): Piece {
  return piece && (blanks > 0 ? piece : [...bytesOf(lead), ...piece]);
}

/** How each value of a schema begins; null where that is free. */
function beginning(node: Node): Piece {
  const own = resolved(node);
  switch (own.kind) {
    case "string":
      return bytesOf('"');
    case "object":
      return bytesOf("{");
    case "array":
      return bytesOf("[");
    case "literal":
      return onlyWay(own.root);
    case "number":
    case "choice":
      return null;
    default:
      return own satisfies never;
  }
}

/** Bytes up to where one of several values must be chosen; null where that is here. */
function onlyWay(from: Trie): Piece {
  const bytes: number[] = [];
  for (let at = from; at.end === null && at.next.size === 1;) {
    const [[byte, next]] = [...at.next] as [[number, Trie]];
    bytes.push(byte);
    at = next;
  }
  return bytes.length === 0 ? null : bytes;
}

/** The rest of the first name, in the schema's order, that can still come, with its quote. */
function nextName(from: Trie, { node, used }: { node: ObjectNode; used: bigint }): Piece {
  const end = firstFree(from, used);
  if (end === Infinity) return null;
  const name = namesOf(node).get(end) as readonly number[];
  let known = 0;
  for (let at = node.names; at !== from;) at = at.next.get(name[known++] as number) as Trie;
  return [...name.slice(known), ...bytesOf('"')];
}

function firstFree({ end, next }: Trie, used: bigint): number {
  let first = end !== null && ((used >> BigInt(end)) & 1n) === 0n ? end : Infinity;
  for (const below of next.values()) first = Math.min(first, firstFree(below, used));
  return first;
}

const namesOf = perObject(({ names }: ObjectNode) => {
  const found = new Map<number, readonly number[]>();
  const walk = ({ end, next }: Trie, bytes: readonly number[]): void => {
    if (end !== null) found.set(end, bytes);
    for (const [byte, below] of next) walk(below, [...bytes, byte]);
  };
  walk(names, []);
  return found;
});

function bytesOf(text: string): number[] {
  return Array.from(text, (character) => character.charCodeAt(0));
}
