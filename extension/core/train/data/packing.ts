/** A part of a text: tokens `from` up to, not including, `to`. */
export interface Piece {
  readonly text: number;
  readonly from: number;
  readonly to: number;
}

/** TRL packs as many texts at a time (datasets.map's batches). */
const window = 1000;

/**
 * Puts texts into rows of at most `maxLength` tokens by best-fit decreasing, as TRL's "bfd"
 * (trl/data_utils.py, `_pack_bfd`; Ding et al. 2024, "Fewer Truncations Improve Language Modeling").
 */
export function fitTexts(
  texts: Uint32Array,
  lengths: ArrayLike<number>,
  maxLength: number,
): Piece[][] {
  const rows: Piece[][] = [];
  for (let start = 0; start < texts.length; start += window) {
    rows.push(...fitWindow(texts.subarray(start, start + window), lengths, maxLength));
  }
  return rows;
}

function fitWindow(texts: Uint32Array, lengths: ArrayLike<number>, maxLength: number): Piece[][] {
  const order = [...texts.keys()].sort((a, b) => (lengths[b] as number) - (lengths[a] as number));
  const rows: Piece[][] = [];
  /** Rows by the room that is left in them, first made first taken. */
  const bySpace = new Map<number, Piece[][]>();
  for (const index of order) {
    const length = lengths[index] as number;
    let space = maxLength;
    for (const each of bySpace.keys()) if (each >= length && each < space) space = each;
    const waiting = bySpace.get(space);
    const row = space < maxLength ? waiting?.shift() : undefined;
    if (waiting?.length === 0) bySpace.delete(space);
    const piece = { text: texts[index] as number, from: 0, to: length };
    const target = row ?? [];
    if (!row) rows.push(target);
    target.push(piece);
    const left = maxLength - target.reduce((sum, { from, to }) => sum + to - from, 0);
    if (left > 0) bySpace.set(left, [...(bySpace.get(left) ?? []), target]);
  }
  return rows;
}

/** Joins all texts and cuts every `maxLength` tokens, as TRL's "wrapped"; the last row may be shorter. */
export function wrapTexts(
  texts: Uint32Array,
  lengths: ArrayLike<number>,
  maxLength: number,
): Piece[][] {
  const rows: Piece[][] = [];
  let row: Piece[] = [];
  let room = maxLength;
  texts.forEach((text, index) => {
    const length = lengths[index] as number;
    for (let from = 0; from < length;) {
      const to = Math.min(length, from + room);
      row.push({ text, from, to });
      room -= to - from;
      from = to;
      if (room > 0) continue;
      rows.push(row);
      row = [];
      room = maxLength;
    }
  });
  if (row.length > 0) rows.push(row);
  return rows;
}
