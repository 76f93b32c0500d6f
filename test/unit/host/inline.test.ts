import assert from "node:assert/strict";
import { test } from "node:test";
import { comparedSpeakers } from "../../../extension/inline/speakers.ts";
import { spanAfter, type TextChange } from "../../../extension/inline/trackedRange.ts";
import type { AdapterInfo } from "../../../extension/protocol/engineContract.ts";

const document = "one TWO three";
const asked = { start: 4, end: 7 };

/** The document after changes, and what of it the piece is then. */
function after(...changes: TextChange[]): string {
  let text = document;
  for (const { rangeOffset, rangeLength, text: put } of [...changes].sort(
    (a, b) => b.rangeOffset - a.rangeOffset,
  )) {
    text = text.slice(0, rangeOffset) + put + text.slice(rangeOffset + rangeLength);
  }
  const { start, end } = spanAfter(asked, changes);
  return text.slice(start, end);
}

const change = (rangeOffset: number, rangeLength: number, text: string): TextChange => ({
  ...{ rangeOffset, rangeLength, text },
});

test("what was asked is found again after edits around it and in it", () => {
  assert.equal(after(), "TWO");
  assert.equal(after(change(0, 0, "zero ")), "TWO");
  assert.equal(after(change(0, 4, "")), "TWO");
  assert.equal(after(change(8, 5, "four")), "TWO");
  assert.equal(after(change(4, 0, ">")), "TWO");
  assert.equal(after(change(7, 0, "<")), "TWO");
  assert.equal(after(change(5, 1, "www")), "TwwwO");
  assert.equal(after(change(4, 3, "2")), "2");
  assert.equal(after(change(4, 3, "")), "");
  assert.equal(after(change(2, 3, "-")), "WO");
  assert.equal(after(change(6, 3, "-")), "TW");
  assert.equal(after(change(0, 0, "a"), change(5, 0, "b"), change(13, 0, "c")), "TbWO");
});

test("a comparison asks the base, each loaded adapter and the mix, and nobody twice", () => {
  const loaded = ["pirate", "json"].map((name) => ({ name }) as AdapterInfo);
  const pirate = { name: "pirate", weight: 0.5 };
  const json = { name: "json", weight: 1 };
  assert.deepEqual(comparedSpeakers({ loaded, active: [] }, []), [
    [],
    [{ name: "pirate", weight: 1 }],
    [json],
  ]);
  assert.deepEqual(comparedSpeakers({ loaded, active: [pirate] }, [[pirate]]), [[], [json]]);
  const mixed = comparedSpeakers({ loaded, active: [pirate, json] }, [[]]);
  assert.deepEqual(mixed, [[pirate], [json], [pirate, json]]);
  assert.deepEqual(comparedSpeakers({ loaded: [], active: [] }, [[]]), []);
});
