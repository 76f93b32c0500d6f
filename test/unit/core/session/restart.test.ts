import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { failure, fixtures } from "../support.ts";

// Its angles change behind 16 tokens.
const base = await loadBaseModel(path.join(fixtures, "models/phi3-longrope"));
const { session } = base;
const tokens = Array.from({ length: 20 }, (_, i) => 3 + ((i * 7) % 40));

/** Logits of the last token when `all` is read in parts of so many tokens. */
function lastLogits(all: readonly number[], parts: readonly number[]): Promise<Float32Array> {
  return session.with({ order: "" }, async (running) => {
    const state = running.start(session.inputs([]));
    let [at, data] = [0, new Float32Array(0)];
    for (const count of parts) {
      const part = await running.forward(state, [all.slice(at, at + count)]);
      [at, data] = [at + count, Float32Array.from(part.data)];
    }
    assert.equal(state.cache.length, all.length);
    return data;
  });
}

function difference(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] as number))), 0);
}

for (const parts of [
  [16, 4],
  [10, 7, 3],
  [15, 1, 1, 1, 2],
]) {
  void test(`20 tokens in parts of ${parts.join(", ")} equal one pass`, async () => {
    const whole = await lastLogits(tokens, [20]);
    assert(difference(await lastLogits(tokens, parts), whole) < 1e-5);
  });
}

void test("a run that fails where the angles change leaves its sequence as it was", async () => {
  await session.with({ order: "" }, async (running) => {
    const state = running.start(session.inputs([]));
    await running.forward(state, [tokens.slice(0, 16)]);
    const known = structuredClone([state.ids, state.seen]);
    const wrong = running.forward(state, [[1000]]);
    await assert.rejects(wrong, failure("bad-request", "1000"));
    assert.deepEqual([state.ids, state.seen], known);
    assert.equal(state.cache.length, 16);
    const { data } = await running.forward(state, [tokens.slice(16)]);
    assert(difference(data, await lastLogits(tokens, [20])) < 1e-5);
  });
});

test.after(() => session.dispose());
