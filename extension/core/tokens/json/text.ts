/** States of a JSON string's inside: numbers, so that they are cheap to keep and to compare. */
export const plain = 0;
export const broken = -1;

const escaped = 1;
/** Hexadecimal digits of \u: the first, the second after a D, the second, the third, the fourth. */
const hex = { first: 2, afterD: 3, second: 4, third: 5, fourth: 6 } as const;
/** Bytes of a character that are to come; the last four bound the next one. */
const more = { one: 10, two: 11, three: 12, e0: 13, ed: 14, f0: 15, f4: 16 } as const;

const backslash = 0x5c;
const quote = 0x22;

/**
 * The state after a byte, `broken` where it may not stand. Halves of characters (surrogates) and bytes
 * that are no UTF-8 may not; a quote is the caller's.
 */
export function textAfter(state: number, byte: number, withEscapes: boolean): number {
  switch (state) {
    case plain:
      return first(byte, withEscapes);
    case escaped:
      return afterBackslash(byte);
    case hex.first:
      if (byte === 0x64 || byte === 0x44) return hex.afterD;
      return isHex(byte) ? hex.second : broken;
    case hex.afterD:
      return byte >= 0x30 && byte <= 0x37 ? hex.third : broken;
    case hex.second:
      return isHex(byte) ? hex.third : broken;
    case hex.third:
      return isHex(byte) ? hex.fourth : broken;
    case hex.fourth:
      return isHex(byte) ? plain : broken;
    case more.one:
      return within(byte, 0x80, 0xbf) ? plain : broken;
    case more.two:
      return within(byte, 0x80, 0xbf) ? more.one : broken;
    case more.three:
      return within(byte, 0x80, 0xbf) ? more.two : broken;
    case more.e0:
      return within(byte, 0xa0, 0xbf) ? more.one : broken;
    case more.ed:
      return within(byte, 0x80, 0x9f) ? more.one : broken;
    case more.f0:
      return within(byte, 0x90, 0xbf) ? more.two : broken;
    case more.f4:
      return within(byte, 0x80, 0x8f) ? more.two : broken;
    default:
      return broken;
  }
}

/** The Unicode standard's table of well-formed byte sequences. */
function first(byte: number, withEscapes: boolean): number {
  if (byte === backslash) return withEscapes ? escaped : broken;
  if (byte < 0x20 || byte === quote) return broken;
  if (byte < 0x80) return plain;
  if (within(byte, 0xc2, 0xdf)) return more.one;
  if (byte === 0xe0) return more.e0;
  if (byte === 0xed) return more.ed;
  if (within(byte, 0xe1, 0xef)) return more.two;
  if (byte === 0xf0) return more.f0;
  if (within(byte, 0xf1, 0xf3)) return more.three;
  return byte === 0xf4 ? more.f4 : broken;
}

function afterBackslash(byte: number): number {
  if (byte === 0x75) return hex.first;
  return '"\\/bfnrt'.includes(String.fromCharCode(byte)) ? plain : broken;
}

function within(byte: number, low: number, high: number): boolean {
  return byte >= low && byte <= high;
}

function isHex(byte: number): boolean {
  return within(byte, 0x30, 0x39) || within(byte | 0x20, 0x61, 0x66);
}
