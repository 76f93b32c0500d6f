import assert from "node:assert/strict";
import { copyFile, mkdir, readdir, symlink } from "node:fs/promises";
import * as path from "node:path";
import { after, test } from "node:test";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { openBaseCheckpoint } from "../../../../extension/core/checkpoint/baseCheckpoint.ts";
import { buildModel } from "../../../../extension/core/models/index.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import {
  type AdapterInputs,
  adapterInputs,
} from "../../../../extension/core/session/adapterInputs.ts";
import type { ForwardOptions } from "../../../../extension/core/session/decodingState.ts";
import type { DecodingSession } from "../../../../extension/core/session/decodingSession.ts";
import { decodingSession, openSession } from "../../../../extension/core/session/openSession.ts";
import { argmax } from "../../../../extension/core/tokens/sampler.ts";
import { difference, failure, fixtures, temporaryFolder } from "../support.ts";

const folder = path.join(fixtures, "models/llama");
async function open(place: string): Promise<DecodingSession> {
  return decodingSession(await openSession(buildModel(await openBaseCheckpoint(place))));
}

const session = await open(folder);
after(() => session.dispose());
const none = adapterInputs([]);
const vocabulary = 128;
const tolerance = 1e-5;

/** Ids that nothing else depends on. */
const ids = (count: number, start = 7): number[] =>
  Array.from({ length: count }, (_, i) => (start + i * 37) % vocabulary);

const allRows = (seq: number): ForwardOptions => ({
  logitsRows: Array.from({ length: seq }, (_, i) => i),
});

/** Logits [tokens, vocabulary] of one row, read in parts of these sizes. */
async function read(tokens: readonly number[], parts: readonly number[]): Promise<number[]> {
  const state = session.start(none);
  const out: number[] = [];
  let start = 0;
  for (const seq of parts) {
    const part = tokens.slice(start, (start += seq));
    out.push(...(await session.forward(state, [part], allRows(seq))).data);
  }
  assert.equal(start, tokens.length);
  return out;
}

const splits: [tokens: number, parts: number[]][] = [
  [12, Array<number>(12).fill(1)],
  [12, [5, 4, 3]],
  [12, [1, 11]],
  [12, [11, 1]],
  // Past 64 tokens the cache grows.
  [80, [40, 40]],
  [80, [63, 1, 1, 1, 14]],
];

for (const [count, parts] of splits) {
  test(`${count} tokens in parts of ${[...new Set(parts)].join(", ")} equal one pass`, async () => {
    const whole = await read(ids(count), [count]);
    assert(Math.max(...whole) > 0.1, "logits of nothing");
    const far = difference(await read(ids(count), parts), whole);
    assert(far < tolerance, `differ by ${far}`);
  });
}

test("logits are of the last token, or of those asked for in their order", async () => {
  const whole = await read(ids(5), [5]);
  const at = (row: number): number[] => whole.slice(row * vocabulary, (row + 1) * vocabulary);
  const last = await session.forward(session.start(none), [ids(5)]);
  assert.deepEqual(last.shape, [1, 1, vocabulary]);
  assert(difference(last.data, at(4)) < tolerance);
  const some = await session.forward(session.start(none), [ids(5)], { logitsRows: [3, 0] });
  assert.deepEqual(some.shape, [1, 2, vocabulary]);
  assert(difference(some.data, [...at(3), ...at(0)]) < tolerance);
});

test("rows of a left-padded batch equal the rows alone, also through the cache", async () => {
  const [long, short] = [ids(9), ids(5, 90)];
  const padding = long.length - short.length;
  const mask = [0, padding].map((first) => Uint8Array.from(long, (_, i) => Number(i >= first)));
  const batch = session.start(none, 2);
  const singles = [session.start(none), session.start(none)];
  const forwardAlone = (tokens: number[][]): Promise<{ data: Float32Array }[]> =>
    Promise.all(singles.map((state, row) => session.forward(state, [tokens[row] ?? []])));
  let together = await session.forward(batch, [long, [...ids(padding, 3), ...short]], {
    attentionMask: mask,
  });
  let alone = await forwardAlone([long, short]);
  for (let step = 0; step < 4; step++) {
    alone.forEach(({ data }, row) => {
      const own = together.data.subarray(row * vocabulary, (row + 1) * vocabulary);
      const far = difference(own, data);
      assert(far < tolerance, `step ${step}, row ${row}: differ by ${far}`);
    });
    const next = alone.map(({ data }) => [argmax(data)]);
    together = await session.forward(batch, next);
    alone = await forwardAlone(next);
  }
});

test("tokens that do not fit the batch are refused and change nothing", async () => {
  const state = session.start(none, 2);
  for (const tokens of [[[1]], [[1], [2], [3]], [[1, 2], [3]], [[], []], []]) {
    await assert.rejects(session.forward(state, tokens), failure("bad-request"));
  }
  assert.equal(state.cache.length, 0);
});

test("a run that fails leaves its sequence as it was", async () => {
  const expected = await read(ids(6), [6]);
  const state = session.start(none);
  await session.forward(state, [ids(6).slice(0, 3)]);
  await assert.rejects(session.forward(state, [[0.5]]));
  const { data } = await session.forward(state, [ids(6).slice(3)], allRows(3));
  assert(difference(data, expected.slice(3 * vocabulary)) < tolerance);
});

test("an unfinished run ends before the session does", async () => {
  const other = decodingSession(await openSession(session.model));
  const running = other.forward(other.start(none), [ids(12)]);
  await Promise.all([running, other.dispose()]);
  assert.equal((await running).data.length, vocabulary);
});

test("shards behind the links of the Hugging Face cache, in several folders, are read", async (t) => {
  const cache = await temporaryFolder(t);
  const source = path.join(fixtures, "models/llama-sharded");
  const snapshot = path.join(cache, "models--org--tiny/snapshots/abc");
  await mkdir(snapshot, { recursive: true });
  for (const [i, name] of (await readdir(source)).entries()) {
    const blobs = path.join(cache, `models--org--${i % 2 === 0 ? "tiny" : "other"}/blobs`);
    await mkdir(blobs, { recursive: true });
    await copyFile(path.join(source, name), path.join(blobs, `${i}`));
    const link = path.relative(snapshot, path.join(blobs, `${i}`));
    await symlink(link, path.join(snapshot, name));
  }
  const logits: Float32Array[] = [];
  for (const place of [source, snapshot]) {
    const own = await open(place);
    logits.push((await own.forward(own.start(none), [ids(5)])).data);
    await own.dispose();
  }
  assert.deepEqual(logits[1], logits[0]);
});

test("adapters belong to a sequence: interleaved answers equal answers alone", async (t) => {
  const model = new PeftModel(await loadBaseModel(folder));
  t.after(() => model.dispose());
  const adapters = path.join(fixtures, "adapters/llama");
  await model.loadAdapter(path.join(adapters, "lora_default"), { adapterName: "a" });
  await model.loadAdapter(path.join(adapters, "lora_all_linear"), { adapterName: "b" });
  const inputs = [["a"], ["b"], ["a", "b"], []].map((names) =>
    model.inputsOf(names.map((name) => ({ name, weight: 1 }))),
  );
  await model.base.session.with(model.inputsOf([]), async (running) => {
    const alone: number[][] = [];
    for (const each of inputs) alone.push(...(await continueGreedily(running, [each])));
    assert.equal(new Set(alone.map(String)).size, inputs.length, "adapters make no difference");
    assert.deepEqual(await continueGreedily(running, inputs), alone);
  });
});

/** Eight greedy tokens for each set of adapters, the sequences taking turns token by token. */
async function continueGreedily(
  running: DecodingSession,
  inputs: readonly AdapterInputs[],
): Promise<number[][]> {
  const states = inputs.map((each) => running.start(each));
  const out = inputs.map((): number[] => []);
  let next = inputs.map(() => ids(6));
  for (let step = 0; step < 8; step++) {
    const runs = states.map((state, i) => running.forward(state, [next[i] ?? []]));
    next = (await Promise.all(runs)).map(({ data }) => [argmax(data)]);
    next.forEach(([id], i) => out[i]?.push(id ?? -1));
  }
  return out;
}
