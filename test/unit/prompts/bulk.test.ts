import assert from "node:assert/strict";
import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { after, test } from "node:test";
import { badRequest } from "../../../extension/core/base/errors.ts";
import {
  type BulkOptions,
  type BulkProgress,
  countDone,
  readResults,
  runBulk,
} from "../../../extension/prompts/bulk.ts";
import { dataKind, hasOwnPrompts, readBulkData } from "../../../extension/prompts/bulkData.ts";
import { exportResults, markdownTable } from "../../../extension/prompts/bulkExport.ts";
import { parsePromptFile } from "../../../extension/prompts/parse.ts";
import { perplexityReport } from "../../../extension/prompts/perplexityReport.ts";
import type { PromptEngine } from "../../../extension/prompts/run.ts";

const folder = await mkdtemp(path.join(tmpdir(), "graft-bulk-"));
after(() => rm(folder, { recursive: true }));

const template = parsePromptFile('messages: [{ role: user, content: "Say {{a}} and {{b}}" }]\n');

test("CSV: quotes, line breaks, a byte order mark and columns as variables", () => {
  const text = '\uFEFFa,b,expected\r\n"one, two","x ""y""\nz",1\r\n\r\n3,4,\r\n';
  const rows = readBulkData(text, { file: "d.csv", kind: "csv", template });
  assert.deepEqual(
    rows.map(({ line, messages, expected }) => [line, messages[0]?.content, expected]),
    [
      [2, 'Say one, two and x "y"\nz', "1"],
      [5, "Say 3 and 4", ""],
    ],
  );
});

test("JSONL: prompts, messages, texts and numbers", () => {
  const lines = [
    '{"prompt": "Hello", "id": 7}',
    "",
    '{"messages": [{"role": "system", "content": "Short."}, {"role": "user", "content": "Hi"}]}',
    '"only a text"',
  ];
  const rows = readBulkData(lines.join("\n"), { file: "d.jsonl", kind: "jsonl" });
  assert.deepEqual(
    rows.map(({ messages }) => messages.map(({ role, content }) => `${role}: ${content}`)),
    [["user: Hello"], ["system: Short.", "user: Hi"], ["user: only a text"]],
  );
  assert.deepEqual([rows[0]?.values["id"], rows[1]?.line], ["7", 3]);
  assert.equal(hasOwnPrompts(lines.join("\n"), "jsonl"), true);
  assert.equal(hasOwnPrompts("a,b\n1,2\n", "csv"), false);
  assert.deepEqual(["x.JSONL", "x.ndjson", "x.tsv", "x.txt"].map(dataKind), [
    "jsonl",
    "jsonl",
    "csv",
    undefined,
  ]);
});

const wrong: [what: string, name: string, text: string, message: RegExp][] = [
  ["no JSON", "a.jsonl", '{"prompt":"x"}\n{', /a\.jsonl: line 2: is no JSON/],
  ["a number", "a.jsonl", "3\n", /line 1: each line has to be an object/],
  ["no prompt", "a.jsonl", '{"a":1}\n', /line 1: there is no “prompt”.*prompt file/],
  ["wrong messages", "a.jsonl", '{"messages":[{"role":"x"}]}', /line 1: “messages” has to be/],
  ["messages in a cell", "a.csv", "messages\nhello\n", /line 2: “messages” is no JSON/],
  ["too few cells", "a.csv", "prompt,b\nx\n", /line 2: has 1 cells, the first line names 2/],
  ["an open quote", "a.csv", 'prompt,b\n"x,y\n', /line 2: .*[Qq]uote/],
  ["nothing", "a.csv", "prompt\n", /a\.csv: It holds no prompt/],
];
for (const [what, file, text, message] of wrong) {
  test(`${what}: refused with its line`, () => {
    const kind = dataKind(file) ?? assert.fail();
    assert.throws(() => readBulkData(text, { file, kind }), message);
  });
}

test("a column that a template asks for is missing", () => {
  const read = (): unknown => readBulkData("a\n1\n", { file: "a.csv", kind: "csv", template });
  assert.throws(read, /line 2: there is no column “b”/);
});

/** Says who was asked what; stops after so many batches. */
function engineThat(stop?: { after: number; controller: AbortController }): PromptEngine & {
  asked: string[];
} {
  const asked: string[] = [];
  let batches = 0;
  return {
    asked,
    answerRows: ({ rows }, { onTokens }) => {
      if (stop && ++batches > stop.after) {
        stop.controller.abort();
        return Promise.reject(new Error("stopped"));
      }
      onTokens?.(rows.length);
      return Promise.resolve(
        rows.map(({ prompt, adapters }) => {
          const content = prompt.kind === "chat" ? prompt.messages[0]?.content : prompt.text;
          const text = `${adapters[0]?.name ?? "base"}: ${content}`;
          asked.push(text);
          return { text, tokens: 2, promptTokens: 3, finish: "stop", seconds: 0.01, seed: 0 };
        }),
      );
    },
    scoreRows: () => Promise.resolve([]),
  };
}

function optionsFor(
  file: string,
  engine: PromptEngine,
  more: Partial<BulkOptions> = {},
): BulkOptions {
  return {
    engine,
    base: { path: "/base", name: "base-model", hasChatTemplate: true },
    columns: [
      { label: "base", names: ["base"], adapters: [], identity: [] },
      {
        label: "pirate",
        names: ["pirate"],
        adapters: [{ name: "pirate", weight: 1 }],
        identity: [{ path: "/pirate", weight: 1 }],
      },
    ],
    sampling: {
      ...{ maxNewTokens: 9, temperature: 0, topP: 1, topK: 0, repetitionPenalty: 1, seed: 0 },
    },
    batch: 2,
    results: path.join(folder, file),
    signal: new AbortController().signal,
    ...more,
  };
}

const rowsOf = (...prompts: string[]): ReturnType<typeof readBulkData> =>
  readBulkData(prompts.map((prompt) => JSON.stringify({ prompt })).join("\n"), {
    file: "d.jsonl",
    kind: "jsonl",
  });

test("a stopped run leaves what it has, and the next asks only for the rest", async () => {
  const rows = rowsOf("one", "two", "two", "three");
  const controller = new AbortController();
  const first = engineThat({ after: 2, controller });
  const stopped = await runBulk(
    rows,
    optionsFor("stopped.jsonl", first, { signal: controller.signal }),
  );
  assert.deepEqual([stopped.records.length, stopped.total, first.asked.length], [4, 8, 4]);
  // As a crash in the middle of a line would leave it.
  const file = path.join(folder, "stopped.jsonl");
  await appendFile(file, '{"key":"half');
  const second = engineThat();
  const seen: BulkProgress[] = [];
  const options = optionsFor("stopped.jsonl", second, { onProgress: (each) => seen.push(each) });
  assert.deepEqual(await countDone(rows, options), { done: 4, total: 8, others: 0 });
  const { records } = await runBulk(rows, options);
  assert.deepEqual(second.asked, ["base: two", "pirate: two", "base: three", "pirate: three"]);
  assert.deepEqual(
    records.map(({ row, output }) => `${row} ${output}`),
    rows.flatMap(({ index, values }) =>
      ["base", "pirate"].map((who) => `${index} ${who}: ${values["prompt"]}`),
    ),
  );
  assert.deepEqual([seen[0]?.done, seen[0]?.secondsLeft, seen.at(-1)?.done], [4, null, 8]);
  assert(seen.some(({ secondsLeft, done }) => done === 6 && (secondsLeft ?? -1) >= 0));
  const lines = (await readFile(file, "utf8")).trimEnd().split("\n");
  assert.equal(lines.length, 8);
  assert(lines.every((line) => JSON.parse(line) as unknown));
});

test("lines that were put in are asked; what was answered stays answered", async () => {
  await runBulk(rowsOf("one", "two"), optionsFor("grown.jsonl", engineThat()));
  const engine = engineThat();
  const { records } = await runBulk(
    rowsOf("zero", "one", "two"),
    optionsFor("grown.jsonl", engine),
  );
  assert.deepEqual(engine.asked, ["base: zero", "pirate: zero"]);
  assert.deepEqual(
    records.map(({ row }) => row),
    [0, 0, 1, 1, 2, 2],
  );
});

test("other sampling, another base or adapter is another answer", async () => {
  const rows = rowsOf("one");
  const count = async (more: Partial<BulkOptions>): Promise<number> => {
    const engine = engineThat();
    await runBulk(rows, optionsFor("keys.jsonl", engine, more));
    return engine.asked.length;
  };
  const { sampling, columns } = optionsFor("keys.jsonl", engineThat());
  assert.equal(await count({}), 2);
  assert.equal(await count({}), 0);
  assert.equal(await count({ sampling: { ...sampling, temperature: 1 } }), 2);
  const moved = columns.map((each) => ({ ...each, identity: [{ path: "/b", weight: 0.5 }] }));
  assert.equal(await count({ columns: moved.slice(1) }), 1);
});

test("an error is the run's own, and what was written before it stays", async () => {
  const engine = engineThat();
  let batches = 0;
  const failing: PromptEngine = {
    ...engine,
    answerRows: (...all) =>
      ++batches > 1 ? Promise.reject(new Error("out of memory")) : engine.answerRows(...all),
  };
  const run = runBulk(rowsOf("one", "two"), optionsFor("failed.jsonl", failing));
  await assert.rejects(run, /out of memory/);
  assert.equal((await readResults(path.join(folder, "failed.jsonl"))).length, 2);
});

const tooLong = badRequest("too long");

test("a prompt that is too long is told with its reason, and asked again next time", async () => {
  const engine = engineThat();
  const picky: PromptEngine = {
    ...engine,
    answerRows: (params, options) =>
      params.rows.some(({ prompt }) => JSON.stringify(prompt).includes("two"))
        ? Promise.reject(tooLong)
        : engine.answerRows(params, options),
  };
  const rows = rowsOf("one", "two", "three");
  const options = optionsFor("picky.jsonl", picky);
  const { records } = await runBulk(rows, options);
  assert.deepEqual(
    records.map(({ row, error }) => [row, error]),
    [
      [0, undefined],
      [0, undefined],
      [1, tooLong.message],
      [1, tooLong.message],
      [2, undefined],
      [2, undefined],
    ],
  );
  assert.deepEqual(await countDone(rows, options), { done: 4, total: 6, others: 0 });
  assert.match(exportResults(records, "md"), /\| two \| No answer: too long\./);
  const again = await runBulk(rows, optionsFor("picky.jsonl", engineThat()));
  assert(again.records.every(({ error }) => error === undefined));
});

test("results that somebody has edited: what is no answer is asked again", async () => {
  const file = path.join(folder, "edited.jsonl");
  await writeFile(file, 'hello\n{"key":1}\nnull\n');
  assert.deepEqual(await readResults(file), []);
});

test("exports: a line a prompt, a column for each set of adapters", async () => {
  const rows = rowsOf("a|b\n*c*", 'x, "y"');
  const { records } = await runBulk(rows, optionsFor("export.jsonl", engineThat()));
  assert.equal(
    exportResults(records, "md"),
    [
      "| prompt | base | pirate |",
      "| --- | --- | --- |",
      "| a\\|b<br>\\*c\\* | base: a\\|b<br>\\*c\\* | pirate: a\\|b<br>\\*c\\* |",
      '| x, "y" | base: x, "y" | pirate: x, "y" |',
      "",
    ].join("\n"),
  );
  const csv = exportResults(records, "csv");
  const again = readBulkData(csv, { file: "again.csv", kind: "csv" });
  assert.deepEqual(
    again.map(({ values }) => values["pirate"]),
    ["pirate: a|b\n*c*", 'pirate: x, "y"'],
  );
  const [first] = exportResults(records, "jsonl").split("\n");
  assert.deepEqual(JSON.parse(first ?? ""), {
    prompt: "a|b\n*c*",
    answers: { base: "base: a|b\n*c*", pirate: "pirate: a|b\n*c*" },
  });
});

test("a cell of a table is never Markdown or HTML", () => {
  const table = markdownTable(["a"], [["<img src=x> `b` [c](d) ~~e~~ $f$"]]);
  assert.match(table, /\| &lt;img src=x&gt; \\`b\\` \\\[c\\\]\(d\) \\~\\~e\\~\\~ \\\$f\\\$ \|/);
});

test("a page about perplexity: figures, differences and what surprised", () => {
  const column = (nll: number): Parameters<typeof perplexityReport>[0]["columns"][0] => ({
    ...{ adapters: [], nll, perplexity: Math.exp(nll), windows: [] },
    surprises: [{ before: "the", token: " sky", nll: Math.log(1000) }],
  });
  const page = perplexityReport(
    { tokens: 10, counted: 9, window: 8, stride: 4, columns: [column(1), column(1.1)] },
    { title: "a.txt", base: "graft-sample", labels: ["base", "pirate"] },
  );
  assert.match(page, /^# Perplexity of a\.txt/);
  assert.match(page, /10 tokens, 9 of them counted, in windows of 8 that begin 4 apart/);
  assert.match(page, /\| pirate \| 3\.0042 \| \+10\.5 % \| 1\.1000 \| 1\.5870 \|/);
  assert.match(page, /\| the \| sky \| 0\.0010 \|/);
});
