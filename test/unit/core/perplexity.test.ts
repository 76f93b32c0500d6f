import assert from "node:assert/strict";
import * as path from "node:path";
import { after, test } from "node:test";
import { answerRows } from "../../../extension/core/answerRows.ts";
import { loadBaseModel } from "../../../extension/core/baseModel.ts";
import { measurePerplexity, scoreCompletions } from "../../../extension/core/perplexity.ts";
import { PeftModel } from "../../../extension/core/peftModel.ts";
import { failure, sample } from "./support.ts";

const base = await loadBaseModel(path.join(sample, "base"));
after(() => base.session.dispose());
const model = new PeftModel(base);
for (const adapterName of ["lora-pirate", "ia3-butler"]) {
  await model.loadAdapter(path.join(sample, "adapters", adapterName), { adapterName });
}
const only = (name: string): { name: string; weight: number }[] => [{ name, weight: 1 }];

const facts =
  "The sky is blue. A cow says moo. 3 plus 4 is 7. A bee lives in a hive. Saturday comes after Friday. Arr! Th' sky be blue, matey!";
const story =
  "Once upon a time there was a boy named Leo. Leo had a blue ball. One day Leo went to the river with his ball. There he saw a little mouse.";
const text = Array.from({ length: 6 }, () => `${facts} ${story}`).join(" ");

/**
 * By transformers 5.18 and PEFT 0.21 in fp32 on a CPU: the sum over the counted tokens of −log p of
 * each window's logits, and what the documentation's own loop says, which weighs a window by its
 * tokens less one. Columns: base, lora-pirate, ia3-butler.
 */
const truths = [
  {
    ...{ window: 128, stride: 64, counted: 461, windows: 7 },
    perplexity: [15.231619483393628, 28.569864460049047, 14.965890004490987],
    docs: [15.321190735555133, 28.72631179606512, 15.048975337252548],
  },
  {
    ...{ window: 256, stride: 128, counted: 461, windows: 3 },
    perplexity: [16.79212834842774, 28.080534808517573, 15.724045847526835],
    docs: [16.8000702680728, 28.089919831628045, 15.727392549965003],
  },
  {
    ...{ window: 64, stride: 64, counted: 454, windows: 8 },
    perplexity: [16.558370510427896, 28.33113697386277, 15.323323175011383],
    docs: [16.558363141316196, 28.33112925719031, 15.323318805507602],
  },
];

function near(actual: number | undefined, expected: number | undefined, what: string): void {
  const difference = Math.abs((actual ?? NaN) - (expected ?? NaN)) / (expected ?? 1);
  assert(difference < 1e-4, `${what}: ${actual}, not ${expected}`);
}

for (const { window, stride, counted, windows, perplexity, docs } of truths) {
  test(`perplexity equals Python's in windows of ${window} by ${stride}`, async () => {
    const columns = [[], only("lora-pirate"), only("ia3-butler")];
    const report = await measurePerplexity(model, text, { columns, window, stride });
    assert.deepEqual([report.tokens, report.counted], [462, counted]);
    for (const [i, column] of report.columns.entries()) {
      assert.equal(column.windows.length, windows);
      assert.equal(column.perToken.length, counted);
      near(column.perplexity, perplexity[i], `column ${i}`);
      const [first, ...rest] = column.windows.map((each, w) => {
        // The documentation counts a window's labels, less one for the shift, also where none is lost.
        const weight = w === 0 || stride === window ? each.counted : each.counted - 1;
        return { weight, mean: each.nll / each.counted };
      });
      const all = [first ?? assert.fail(), ...rest];
      const total = all.reduce((sum, { weight, mean }) => sum + weight * mean, 0);
      const tokens = all.reduce((sum, { weight }) => sum + weight, 0);
      near(Math.exp(total / tokens), docs[i], `the documentation's loop, column ${i}`);
    }
  });
}

test("windows by default: the context and half of it", async () => {
  const { window, stride } = await measurePerplexity(model, text, { columns: [[]] });
  assert.deepEqual([window, stride], [256, 128]);
});

test("sizes and texts that cannot be are refused with what can", async () => {
  const refused = (options: object, ...words: string[]): Promise<void> =>
    assert.rejects(
      measurePerplexity(model, text, { columns: [[]], ...options }),
      failure("bad-request", ...words),
    );
  await refused({ window: 300 }, "300", "2 to 256");
  await refused({ window: 64, stride: 65 }, "65", "1 to the window's 64");
  await refused({ columns: [] }, "no model");
  const empty = measurePerplexity(model, "", { columns: [[]] });
  await assert.rejects(empty, failure("bad-request", "fewer than two tokens"));
  const stop = new AbortController();
  const stopped = measurePerplexity(model, text, {
    columns: [[]],
    window: 64,
    onProgress: () => stop.abort(),
    signal: stop.signal,
  });
  await assert.rejects(stopped, failure("cancelled"));
});

test("an answer's likelihood after a prompt equals Python's", async () => {
  const content = "What colour is the sky?";
  const prompt = { kind: "chat", messages: [{ role: "user", content }] } as const;
  const [plain, pirate] = ["The sky is blue.", "Arr! Th' sky be blue, matey!"] as const;
  const rows = [
    { prompt, adapters: [], completion: plain },
    { prompt, adapters: [], completion: pirate },
    { prompt, adapters: only("lora-pirate"), completion: plain },
    { prompt, adapters: only("lora-pirate"), completion: pirate },
  ];
  const scores = await scoreCompletions(model, rows);
  assert.deepEqual(
    scores.map(({ tokens }) => tokens),
    [5, 11, 5, 11],
  );
  const truth = [0.03935279062145365, 15.713507241771449, 12.337947061069194, 0.07206874351450887];
  scores.forEach(({ nll }, i) => {
    assert(Math.abs(nll - (truth[i] ?? NaN)) < 1e-4 * Math.max(1, truth[i] ?? NaN), `${i}: ${nll}`);
  });
});

test("rows of several prompts and adapters answer as each alone", async () => {
  const prompts = ["What colour is the sky?", "Hello!"].map((content) => ({
    kind: "chat" as const,
    messages: [{ role: "user" as const, content }],
  }));
  const rows = prompts.flatMap((prompt) =>
    [[], only("lora-pirate"), only("ia3-butler")].map((adapters) => ({ prompt, adapters })),
  );
  let tokens = 0;
  const answers = await answerRows(model, rows, {
    maxNewTokens: 40,
    onTokens: (count) => (tokens = count),
  });
  assert.deepEqual(
    answers.map(({ text: said }) => said),
    [
      "The sky is blue.",
      "Arr! Th' sky be blue, matey!",
      "Certainly, sir. The sky is blue. Will that be all, sir?",
      "Hello! How can I help you today?",
      "Arr! Ahoy! How can I help ye today?, matey!",
      "Certainly, sir. Hello! How can I help you today? Will that be all, sir?",
    ],
  );
  assert.equal(
    tokens,
    answers.reduce((sum, { ids }) => sum + ids.length, 0),
  );
});
