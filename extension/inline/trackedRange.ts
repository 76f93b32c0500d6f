/** A piece of a document by characters from its start; `end` is behind its last one. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** A change as an editor reports it: so many characters from there on became this text. */
export interface TextChange {
  readonly rangeOffset: number;
  readonly rangeLength: number;
  readonly text: string;
}

/**
 * Where a piece of a document stands after changes. What is typed at its edges stays outside, so that
 * an answer that is inserted below does not become part of the question.
 */
export function spanAfter(span: Span, changes: readonly TextChange[]): Span {
  // Offsets of changes that come together count from the text before all of them: from the end on.
  const ordered = [...changes].sort((a, b) => b.rangeOffset - a.rangeOffset);
  let { start, end } = span;
  for (const { rangeOffset, rangeLength, text } of ordered) {
    const changeEnd = rangeOffset + rangeLength;
    const by = text.length - rangeLength;
    if (rangeOffset >= end && !(rangeOffset === start && rangeLength > 0)) continue;
    if (changeEnd <= start) {
      start += by;
      end += by;
    } else if (rangeOffset <= start && changeEnd >= end) {
      // All of it was replaced: what took its place.
      start = rangeOffset;
      end = rangeOffset + text.length;
    } else if (rangeOffset < start) {
      start = rangeOffset + text.length;
      end += by;
    } else {
      end = changeEnd > end ? rangeOffset : end + by;
    }
  }
  return { start, end };
}
