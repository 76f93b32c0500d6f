import type { NumberNode } from "./node.ts";

/**
 * Where in a number: its part and how many digits that has. Digits are bounded so that a value stays a
 * finite double, which a schema's "number" is, and a model cannot go on with them for ever.
 */
export interface NumberState {
  readonly part: "minus" | "zero" | "digits" | "point" | "fraction" | "e" | "sign" | "exponent";
  readonly digits: number;
}

const most = { digits: 16, fraction: 20, exponent: 2 } as const;

/** The state behind a number's first byte; null for a byte that begins none. */
export function numberFrom(node: NumberNode, byte: number): NumberState | null {
  if (byte === 0x2d) return node.sign === "any" ? { part: "minus", digits: 0 } : null;
  if (byte === 0x30) return node.sign === "positive" ? null : { part: "zero", digits: 1 };
  return isDigit(byte) ? { part: "digits", digits: 1 } : null;
}

/** The state behind one more byte; null for a byte that cannot go on the number. */
export function numberAfter(
  node: NumberNode,
  { part, digits }: NumberState,
  byte: number,
): NumberState | null {
  switch (part) {
    case "minus":
      if (byte === 0x30) return { part: "zero", digits: 1 };
      return isDigit(byte) ? { part: "digits", digits: 1 } : null;
    case "digits":
    case "fraction":
    case "exponent":
      if (isDigit(byte)) return digits < most[part] ? { part, digits: digits + 1 } : null;
      return part === "exponent" ? null : after(node, part, byte);
    case "zero":
      return after(node, part, byte);
    case "point":
      return isDigit(byte) ? { part: "fraction", digits: 1 } : null;
    case "e":
      if (byte === 0x2b || byte === 0x2d) return { part: "sign", digits: 0 };
      return isDigit(byte) ? { part: "exponent", digits: 1 } : null;
    case "sign":
      return isDigit(byte) ? { part: "exponent", digits: 1 } : null;
    default:
      return part satisfies never;
  }
}

function after(
  { isInteger }: NumberNode,
  part: "zero" | "digits" | "fraction",
  byte: number,
): NumberState | null {
  if (isInteger) return null;
  if (byte === 0x2e && part !== "fraction") return { part: "point", digits: 0 };
  return byte === 0x65 || byte === 0x45 ? { part: "e", digits: 0 } : null;
}

export function isWholeNumber({ part }: NumberState): boolean {
  return part === "zero" || part === "digits" || part === "fraction" || part === "exponent";
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}
