import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import * as os from "node:os";
import * as path from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  type DataOptions,
  type Dataset,
  openDataset,
} from "../../../../../extension/core/train/data/dataset.ts";
import { readTokenizer, type Tokenizer } from "../../../../../extension/core/tokens/tokenizer.ts";

const base = fileURLToPath(new URL("../../../../../media/sample/base", import.meta.url));
const tokenizer = (await readTokenizer(base)) ?? assert.fail();
const root = await mkdtemp(path.join(os.tmpdir(), "graft-tokens-"));
after(() => rm(root, { recursive: true, force: true }));

let texts = 0;
/** Counts what is really tokenised. */
const counting: Tokenizer = new Proxy(tokenizer, {
  get(target, name) {
    const value: unknown = Reflect.get(target, name, target);
    if (name !== "encode" || typeof value !== "function") return value;
    return (...given: unknown[]): unknown => {
      texts++;
      return (value as (...all: unknown[]) => unknown).apply(target, given);
    };
  },
});

interface Opened {
  dataset: Dataset;
  /** Texts that were tokenised for it, but for the padding's own. */
  made: number;
}

async function open(
  folder: string,
  data: DataOptions,
  more: { limit?: number; cacheLimit?: number; key?: string } = {},
): Promise<Opened> {
  const { key = "a", limit, cacheLimit } = more;
  texts = 0;
  const cache = {
    ...{ folder, tokenizer: key, least: 0 },
    ...(cacheLimit !== undefined && { limit: cacheLimit }),
  };
  const options = { cache, examples: 2, ...(limit !== undefined && { limit }) };
  const dataset = await openDataset({ template: "plain", ...data }, counting, options);
  return { dataset, made: texts };
}

/** All that training reads of a data set. */
function content({ training, evaluation, fingerprint, examples, broken }: Dataset): unknown {
  const halves = [training, evaluation].map((half) => ({
    lengths: half.lengths,
    statistics: half.statistics,
    batch: half.plan({ epoch: 0, batchSize: half.count, seed: 0, isShuffled: false }).batch(0),
  }));
  return { halves, fingerprint, examples, broken };
}

const record = (i: number): string =>
  JSON.stringify({ prompt: `What is ${i}?`, completion: ` Arr, ${i} it be.` });
const lines = (count: number): string =>
  Array.from({ length: count }, (_, i) => record(i)).join("\n");

const data = async (name: string, text: string): Promise<string> => {
  const file = path.join(root, name);
  await writeFile(file, text);
  return file;
};

test("texts are tokenised once: the next time they are read as they were", async () => {
  const folder = path.join(root, "once");
  const file = await data("once.jsonl", `${lines(40)}\n{"prompt": 1}\n`);
  const options = { files: [file], evaluationShare: 0.2, skipBroken: true };
  const first = await open(folder, options);
  const again = await open(folder, options);
  assert(first.made > 40);
  assert(again.made < 5, `${again.made} texts were tokenised again`);
  assert.deepEqual(content(again.dataset), content(first.dataset));
  assert.equal(again.dataset.broken.problems[0]?.file, file);
  // How texts are cut, packed and parted is decided behind it.
  const other = await open(folder, { ...options, maxLength: 8, packing: "fit" });
  assert(other.made < 5);
  assert.notDeepEqual(content(other.dataset), content(first.dataset));
  for (const { dataset } of [first, again, other]) dataset.dispose();
});

test("another content, tokenizer or way to read is another file of tokens", async () => {
  const folder = path.join(root, "keys");
  const file = await data("keys.jsonl", lines(10));
  const options = { files: [file] };
  const ways = [
    () => open(folder, options),
    () => open(folder, { ...options, learn: "all" }),
    () => open(folder, options, { key: "b" }),
    () => open(folder, { ...options, fields: { prompt: "completion" } }),
    async () => open(folder, { files: [await data("keys.jsonl", lines(11))] }),
  ];
  for (const [i, way] of ways.entries()) {
    const { dataset, made } = await way();
    dataset.dispose();
    assert(made >= 10, `way ${i} took another's tokens`);
    assert.equal((await readdir(folder)).length, i + 1);
  }
});

test("a file of tokens that was damaged is made anew", async () => {
  const folder = path.join(root, "damaged");
  const file = await data("damaged.jsonl", lines(20));
  const { dataset } = await open(folder, { files: [file] });
  const [name = ""] = await readdir(folder);
  const place = path.join(folder, name);
  const whole = await readFile(place);
  const damages = [
    whole.subarray(0, whole.length - 9),
    Buffer.from(whole.map((byte, i) => (i === whole.length - 9 ? byte ^ 1 : byte))),
    Buffer.from("something else"),
    Buffer.alloc(0),
  ];
  for (const damaged of damages) {
    await writeFile(place, damaged);
    const next = await open(folder, { files: [file] });
    assert(next.made >= 20);
    assert.deepEqual(content(next.dataset), content(dataset));
    assert.deepEqual(await readFile(place), whole);
  }
});

test("a preview, and a folder that cannot be written, keep nothing", async () => {
  const file = await data("nothing.jsonl", lines(20));
  const folder = path.join(root, "preview");
  await open(folder, { files: [file] }, { limit: 5 });
  assert.deepEqual(await readdir(folder).catch(() => []), []);
  const blocked = await data("a file", "");
  const { dataset } = await open(path.join(blocked, "below"), { files: [file] });
  assert.equal(dataset.training.count, 20);
});

test("the folder keeps its bounds: what was used last stays", async () => {
  const folder = path.join(root, "bounded");
  const files = [];
  for (const i of [0, 1, 2]) files.push(await data(`b${i}.jsonl`, lines(20 + i)));
  const [first, second, third] = files as [string, string, string];
  await open(folder, { files: [first] });
  const [name = ""] = await readdir(folder);
  const { length } = await readFile(path.join(folder, name));
  const before = new Date(Date.now() - 60_000);
  await open(folder, { files: [second] });
  for (const each of await readdir(folder)) await utimes(path.join(folder, each), before, before);
  // Used once more, so it is the other one that goes.
  await open(folder, { files: [first] });
  await open(folder, { files: [third] }, { cacheLimit: Math.round(2.5 * length) });
  assert.equal((await readdir(folder)).length, 2);
  assert((await open(folder, { files: [first] })).made < 5);
  // One that is more than half of it pushes nothing out.
  const large = await data("large.jsonl", lines(200));
  await open(folder, { files: [large] }, { cacheLimit: Math.round(2.5 * length) });
  assert.equal((await readdir(folder)).length, 2);
});
