import assert from "node:assert/strict";
import * as path from "node:path";
import { after, test } from "node:test";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import { difference, fixtures } from "../support.ts";

/** Attention of GenAI's exports only counts a row's tokens, so rows with padding run one by one. */
const exports = path.join(fixtures, "exports");
const base = await loadBaseModel(path.join(exports, "llama-genai"));
after(() => base.session.dispose());
const model = new PeftModel(base);
for (const name of ["lora", "prefix"]) {
  await model.loadAdapter(path.join(exports, `adapters/llama/${name}`), { adapterName: name });
}

const vocabulary = 64;
const tokens = [5, 9, 33, 12, 40, 7];
const more = [21, 3];

for (const active of [[], ["lora"], ["prefix"]]) {
  const inputs = model.inputsOf(active.map((name) => ({ name, weight: 1 })));
  const label = active.join() || "the base";

  test(`a padded row of ${label} is what it is alone, also in what follows`, async () => {
    await base.session.with(inputs, async (running) => {
      const alone = running.start(inputs, 1);
      const first = await running.forward(alone, [tokens], { logitsRows: [0, 5] });
      const second = await running.forward(alone, [more], { logitsRows: [0, 1] });
      const batch = running.start(inputs, 2);
      const padded = [0, 0, ...tokens];
      const other = Array.from({ length: 8 }, (_, i) => 8 + i);
      const attentionMask = [padded, other].map((row) =>
        Uint8Array.from(row, (_, i) => Number(row === other || i > 1)),
      );
      const options = { attentionMask, logitsRows: [0, 2, 7] };
      const together = await running.forward(batch, [padded, other], options);
      assert.deepEqual([...together.shape], [2, 3, vocabulary]);
      // What stands in the place of padding is nothing.
      assert(together.data.subarray(0, vocabulary).every((value) => value === 0));
      const own = together.data.subarray(vocabulary, 3 * vocabulary);
      assert(difference(own, first.data) < 1e-5);
      const next = await running.forward(batch, [more, more], { logitsRows: [0, 1] });
      assert(difference(next.data.subarray(0, 2 * vocabulary), second.data) < 1e-5);
      assert(difference(next.data.subarray(2 * vocabulary), second.data) > 1e-2);
    });
  });
}

test("several tokens after a past without padding are the same as all at once", async () => {
  const inputs = model.inputsOf([]);
  await base.session.with(inputs, async (running) => {
    const rows = [tokens, [...tokens].reverse()];
    const whole = running.start(inputs, 2);
    const all = rows.map((row) => [...row, ...more]);
    const expected = await running.forward(whole, all, { logitsRows: [6, 7] });
    const parts = running.start(inputs, 2);
    await running.forward(parts, rows);
    const { data } = await running.forward(parts, [more, more], { logitsRows: [0, 1] });
    assert(difference(data, expected.data) < 1e-5);
  });
});
