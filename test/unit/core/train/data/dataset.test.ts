import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import * as os from "node:os";
import * as path from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import type { GraftError } from "../../../../../extension/core/base/errors.ts";
import { openDataset, type DataOptions } from "../../../../../extension/core/train/data/dataset.ts";
import { epochOrder } from "../../../../../extension/core/train/data/order.ts";
import { readTokenizer, type Tokenizer } from "../../../../../extension/core/tokens/tokenizer.ts";

interface Truths {
  template: string;
  chats: { messages: { role: string; content: string }[]; ids: number[]; mask: number[] }[];
  text: { text: string; ids: number[] };
  pair: { prompt: string; completion: string; ids: number[]; promptLength: number };
  orders: { count: number; seed: number; order: number[] }[];
  grouped: { lengths: number[]; rows: number; seed: number; order: number[] }[];
}

const here = path.dirname(fileURLToPath(import.meta.url));
const truths = JSON.parse(await readFile(path.join(here, "truths.json"), "utf8")) as Truths;
const folder = await mkdtemp(path.join(os.tmpdir(), "graft-data-"));
after(() => rm(folder, { recursive: true, force: true }));
const base = fileURLToPath(new URL("../../../../../media/sample/base", import.meta.url));
const sample = (await readTokenizer(base)) ?? assert.fail();

let made = 0;
async function write(content: string | Buffer, ending = "jsonl"): Promise<string> {
  const file = path.join(folder, `data${made++}.${ending}`);
  await writeFile(file, content);
  return file;
}

const lines = (records: readonly unknown[]): string =>
  records.map((each) => JSON.stringify(each)).join("\n");

type Options = Omit<DataOptions, "files">;

/** The first batch of a file with these records. */
async function batchOf(
  content: string,
  {
    ending,
    tokenizer = sample,
    ...options
  }: Options & { ending?: string; tokenizer?: Tokenizer } = {},
): Promise<{ ids: number[][]; labels: number[][] }> {
  const dataset = await openDataset(
    { files: [await write(content, ending)], ...options },
    tokenizer,
  );
  const { count } = dataset.training;
  const plan = dataset.training.plan({ epoch: 0, batchSize: count, seed: 0, isShuffled: false });
  const batch = plan.batch(0);
  const rows = Array.from({ length: batch.rows }, (_, r) => {
    const used = batch.attentionMask.subarray(r * batch.length, (r + 1) * batch.length);
    return [
      r * batch.length,
      r * batch.length + used.reduce((sum, each) => sum + each, 0),
    ] as const;
  });
  dataset.dispose();
  return {
    ids: rows.map(([from, to]) => [...batch.inputIds.subarray(from, to)]),
    labels: rows.map(([from, to]) => [...batch.labels.subarray(from, to)]),
  };
}

const labelled = (ids: readonly number[], mask: readonly number[]): number[] =>
  ids.map((id, i) => (mask[i] ? id : -100));

test("chats with generation marks give transformers' ids and assistant masks", async () => {
  const tokenizer = { ...sample, chatTemplate: truths.template, vocabulary: sample.vocabulary };
  const content = lines(truths.chats.map(({ messages }) => ({ messages })));
  const { ids, labels } = await batchOf(content, { tokenizer });
  assert.deepEqual(
    ids,
    truths.chats.map((each) => each.ids),
  );
  assert.deepEqual(
    labels,
    truths.chats.map((each) => labelled(each.ids, each.mask)),
  );
});

test("without marks the turns are found by rendering beginnings", async () => {
  const marked = { ...sample, chatTemplate: truths.template, vocabulary: sample.vocabulary };
  const content = lines(truths.chats.map(({ messages }) => ({ messages })));
  assert.deepEqual(await batchOf(content), await batchOf(content, { tokenizer: marked }));
});

test("a template that drops earlier thoughts still tells the turns apart", async () => {
  const chatTemplate =
    "{% for m in messages %}{% if m.role == 'assistant' and not loop.last %}<|assistant|>{{ m.content.split('</think>')[-1] }}<|end|>" +
    "{% else %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";
  const tokenizer = { ...sample, chatTemplate, vocabulary: sample.vocabulary };
  const messages = [
    { role: "user", content: "a" },
    { role: "assistant", content: "<think>x</think>b" },
    { role: "user", content: "c" },
    { role: "assistant", content: "d" },
  ];
  const failed = batchOf(lines([{ messages }]), { tokenizer });
  await assert.rejects(failed, /does not tell which part/);
  messages[1] = { role: "assistant", content: "b" };
  const { ids, labels } = await batchOf(lines([{ messages }]), { tokenizer });
  const learned = (ids[0] ?? []).filter((_, i) => labels[0]?.[i] !== -100);
  assert.equal(sample.decode(learned, { skipSpecialTokens: false }), "b<|end|>d<|end|>");
});

test("plain text ends once; of prompt and completion the completion is learned", async () => {
  const text = await batchOf(
    lines([{ text: truths.text.text }, { text: `${truths.text.text}<|end|>` }]),
  );
  assert.deepEqual(text.ids, [truths.text.ids, truths.text.ids]);
  assert.deepEqual(text.labels, text.ids);
  const { prompt, completion, ids, promptLength } = truths.pair;
  const pair = await batchOf(lines([{ prompt, completion }]), { template: "plain" });
  assert.deepEqual(pair.ids, [ids]);
  assert.deepEqual(pair.labels, [ids.map((id, i) => (i < promptLength ? -100 : id))]);
});

test("ShareGPT, Alpaca and messages of one conversation are the same", async () => {
  const messages = [
    { role: "user", content: "Hello\n\nyou" },
    { role: "assistant", content: "Hi" },
  ];
  const wanted = await batchOf(lines([{ messages }]));
  const shared = [
    { from: "human", value: "Hello\n\nyou" },
    { from: "gpt", value: "Hi" },
  ];
  assert.deepEqual(await batchOf(lines([{ conversations: shared }])), wanted);
  assert.deepEqual(
    await batchOf(lines([{ instruction: "Hello", input: "you", output: "Hi" }])),
    wanted,
  );
  const prompt = messages.slice(0, 1);
  assert.deepEqual(await batchOf(lines([{ prompt, completion: messages.slice(1) }])), wanted);
  assert.deepEqual(
    await batchOf(JSON.stringify([{ messages }], null, 2), { ending: "json" }),
    wanted,
  );
  const csv = `instruction;input;output\n"Hello";you;Hi\n`;
  assert.deepEqual(await batchOf(csv, { ending: "csv" }), wanted);
});

test("the order of an epoch is transformers'", () => {
  for (const { count, seed, order } of truths.orders) {
    const lengths = new Uint32Array(count).fill(5);
    const options = { epoch: 2, seed: seed - 2, isShuffled: true, stepRows: null };
    assert.deepEqual([...epochOrder(lengths, options)], order);
  }
  for (const { lengths, rows, seed, order } of truths.grouped) {
    const options = { epoch: 0, seed, isShuffled: true, stepRows: rows };
    assert.deepEqual([...epochOrder(Uint32Array.from(lengths), options)], order);
  }
});

test("all broken records are told with line and column", async () => {
  const file = await write(
    [
      '{"prompt": "a", "completion": "b"}',
      '{"prompt": "a" "completion": "b"}',
      "",
      '{"prompt": "a", "completion": 7}',
      '{"prompt": "a"}',
    ].join("\n"),
  );
  await assert.rejects(openDataset({ files: [file] }, sample), (error: GraftError) => {
    assert.equal(error.code, "bad-file");
    const places = (error.details["problems"] as { line: number; column: number }[]).map(
      ({ line, column }) => [line, column],
    );
    assert.deepEqual(places, [
      [2, 16],
      [4, 31],
      [5, 1],
    ]);
    assert.match(error.message, /3 broken records[^]*:2:16: This is no JSON: a comma is missing/);
    return true;
  });
  const dataset = await openDataset({ files: [file], skipBroken: true }, sample);
  assert.equal(dataset.training.count, 1);
  assert.equal(dataset.broken.count, 3);
});

test("a table's faults have places, and its cells may hold lines and quotes", async () => {
  const file = await write('text,label\n"a ""b""\nc",1\nx\n"open,2\nd,3', "csv");
  await assert.rejects(openDataset({ files: [file] }, sample), (error: GraftError) => {
    assert.match(error.message, /:4:1: The row has 1 cells/);
    assert.match(error.message, /:5:1: The quote that opens here is never closed/);
    return true;
  });
  const dataset = await openDataset({ files: [file], skipBroken: true, task: "causal" }, sample, {
    examples: 1,
  });
  assert.match(
    dataset.examples[0]?.segments.map(({ text }) => text).join("") ?? "",
    /a "b"\nc<\|end\|>$/,
  );
});

test("the half for evaluation does not depend on the order of the file", async () => {
  const records = Array.from({ length: 60 }, (_, i) => ({ text: `A cow has ${i} feet.` }));
  const evaluated = async (given: readonly unknown[]): Promise<string[]> => {
    const { evaluation } = await openDataset(
      { files: [await write(lines(given))], evaluationShare: 0.2 },
      sample,
    );
    const plan = evaluation.plan({ epoch: 0, batchSize: 1, seed: 0, isShuffled: false });
    return Array.from({ length: plan.batches }, (_, i) =>
      sample.decode([...plan.batch(i).inputIds]),
    ).sort();
  };
  const first = await evaluated(records);
  assert(first.length > 3 && first.length < 30);
  assert.deepEqual(await evaluated(records.toReversed()), first);
  assert.equal((await evaluated(records.slice(0, 2))).length, 1, "a small set gives one");
});

test("long texts are cut and said, or split; what is not learned then is left out", async () => {
  const file = await write(lines([{ text: "A cow says moo. ".repeat(20) }, { text: "A cow." }]));
  const cut = await openDataset({ files: [file], maxLength: 16 }, sample);
  assert.equal(cut.training.statistics.cut, 1);
  assert.deepEqual([...cut.training.lengths].sort(), [16, cut.training.lengths[1]].sort());
  assert.match(cut.notes.join(), /1 texts are longer than 16 tokens/);
  const split = await openDataset({ files: [file], maxLength: 16, overlong: "split" }, sample);
  assert.equal(
    split.training.statistics.tokens,
    cut.training.statistics.tokens + cut.training.statistics.cutTokens,
  );
  const long = await write(
    lines([
      { prompt: "moo ".repeat(30), completion: "b" },
      { prompt: "a", completion: "b" },
    ]),
  );
  const { training } = await openDataset({ files: [long], maxLength: 16 }, sample);
  assert.deepEqual([training.count, training.statistics.withoutLearned], [1, 1]);
});

test("packed texts have places and segments of their own, and foretell none of the next", async () => {
  const file = await write(
    lines([{ text: "A cow says moo." }, { text: "A cow." }, { text: "A bee." }]),
  );
  const { training } = await openDataset({ files: [file], maxLength: 32, packing: "fit" }, sample);
  assert.equal(training.count, 1);
  const batch = training.plan({ epoch: 0, batchSize: 1, seed: 0, isShuffled: false }).batch(0);
  const starts = [...(batch.positionIds ?? [])].flatMap((place, i) =>
    place === 0 && batch.attentionMask[i] === 1 ? [i] : [],
  );
  assert.equal(starts.length, 3);
  for (const start of starts) assert.equal(batch.labels[start], -100);
  assert.deepEqual([...new Set(batch.segments)].sort(), [0, 1, 2, 3]);
  assert.equal(batch.learnedTokens, batch.tokens - 3);
  const wrapped = await openDataset({ files: [file], maxLength: 8, packing: "wrap" }, sample);
  const lengths = [...wrapped.training.lengths];
  assert.equal(
    lengths.reduce((a, b) => a + b, 0),
    batch.tokens,
  );
  assert(lengths.slice(0, -1).every((length) => length === 8));
});

test("labels are names in alphabetical order, or the base's", async () => {
  const file = await write(
    lines([
      { text: "a", label: "sad" },
      { text: "b", label: "glad" },
    ]),
  );
  const labelsWith = async (labels: string[]): Promise<unknown> => {
    const dataset = await openDataset({ files: [file] }, sample, { labels });
    const plan = dataset.training.plan({ epoch: 0, batchSize: 2, seed: 0, isShuffled: false });
    return [dataset.task, dataset.labels, [...plan.batch(0).labels]];
  };
  assert.deepEqual(await labelsWith([]), ["sequence-classification", ["glad", "sad"], [1, 0]]);
  const known = ["sad", "glad", "odd"];
  assert.deepEqual(await labelsWith(known), ["sequence-classification", known, [0, 1]]);
  await assert.rejects(labelsWith(["good", "bad"]), /does not know: glad, sad/);
});

test("words keep their labels on their first tokens", async () => {
  const record = { tokens: ["A", "cow"], ner_tags: ["O", "B"] };
  const { ids, labels } = await batchOf(lines([record]));
  const used = (ids[0] ?? []).map((id, i) => [
    sample.decode([id], { skipSpecialTokens: false }),
    labels[0]?.[i],
  ]);
  assert.deepEqual(
    used.filter(([, label]) => label !== -100).map(([, label]) => label),
    [1, 0],
  );
});

test("packed files, text files and the preview", async () => {
  const gz = await write(gzipSync('{"prompt":"Hi","completion":"Arr"}\n'), "jsonl.gz");
  const { examples } = await openDataset({ files: [gz] }, sample, { examples: 3 });
  assert.deepEqual(examples[0]?.segments, [
    { text: "<|bos|><|user|>Hi<|end|><|assistant|>", isLearned: false },
    { text: "Arr<|end|>", isLearned: true },
  ]);
  const txt = await write("A cow.\nA bee.\n\nA cat.\n", "txt");
  assert.equal((await openDataset({ files: [txt] }, sample)).training.count, 2);
  assert.equal((await openDataset({ files: [txt], textUnit: "line" }, sample)).training.count, 3);
  const limited = await openDataset({ files: [txt] }, sample, { limit: 1 });
  assert.deepEqual([limited.training.count, limited.isWhole], [1, false]);
});

test("files that are no training data are refused with what to do", async () => {
  const open = async (content: string | Buffer, ending: string): Promise<unknown> =>
    openDataset({ files: [await write(content, ending)] }, sample);
  await assert.rejects(open("", "parquet"), /JSON Lines/);
  await assert.rejects(open("", "jsonl"), /nothing to learn from/);
  await assert.rejects(open('{"chosen":"a","rejected":"b"}', "jsonl"), /preferences/);
  await assert.rejects(open('{"a":1}', "jsonl"), /do not say what is to be learned/);
  await assert.rejects(
    open(Buffer.from('{"text":"a"}\n{"text":"\xe4"}', "latin1"), "jsonl"),
    /line 2 is not UTF-8/,
  );
  await assert.rejects(open(Buffer.from("\ufefftext", "utf16le"), "csv"), /UTF-16/);
  await assert.rejects(open('[{"text":"a"},', "json"), /list is never closed/);
});

test("a record says its task by a number; other fields of that name are none", async () => {
  const records = [
    { text: "a cat", task: 2 },
    { text: "a dog", task: "0" },
    { text: "a cow", task: "animals" },
  ];
  const open = async (some: unknown[], options: Options = {}) =>
    (await openDataset({ files: [await write(lines(some))], ...options }, sample)).training;
  const training = await open(records);
  assert.deepEqual(training.tasks, { largest: 2, missing: 1 });
  assert.equal((await open(records.slice(2))).tasks, undefined);
  const known = await open(records.slice(0, 2));
  const plan = known.plan({ epoch: 0, batchSize: 2, seed: 0, isShuffled: false });
  assert.deepEqual(plan.batch(0).tasks, Int32Array.of(2, 0));
  assert.equal((await open(records.slice(0, 2), { packing: "fit" })).tasks, undefined);
  await assert.rejects(open(records, { fields: { task: "task" } }), (error: GraftError) => {
    assert.match(error.message, /:3:.*“task” has to be the number of a task/);
    return true;
  });
});

test("prompts with answers are tokenised apart, each with its own end", async () => {
  const record = { document: "A cow says moo.", summary: "Moo." };
  const file = await write(lines([record, { document: "A bee.", summary: "Bzz, said the bee." }]));
  const dataset = await openDataset({ files: [file], task: "seq2seq" }, sample, { examples: 1 });
  const plan = dataset.training.plan({ epoch: 0, batchSize: 2, seed: 0, isShuffled: false });
  const batch = plan.batch(0);
  const { answerLength = 0, labels } = batch;
  const [first = []] = [record].map(({ document }) => sample.encode(document));
  assert.deepEqual([...batch.inputIds.subarray(0, first.length)], first);
  const answer = sample.encode(record.summary);
  assert.deepEqual([...labels.subarray(0, answer.length)], answer);
  assert.equal(labels.length, 2 * answerLength);
  assert.equal(batch.learnedTokens, labels.filter((label) => label !== -100).length);
  assert.deepEqual(
    dataset.examples[0]?.segments.map(({ isLearned }) => isLearned),
    [false, true],
  );
  const chats = await write(lines([{ prompt: [{ role: "user", content: "a" }], completion: [] }]));
  await assert.rejects(openDataset({ files: [chats], task: "seq2seq" }, sample), /broken record/);
});
