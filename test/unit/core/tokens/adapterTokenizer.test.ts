import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { after, test } from "node:test";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import type { LoadedAdapter } from "../../../../extension/core/loadAdapter.ts";
import { sample, temporaryFolder } from "../support.ts";

const base = await loadBaseModel(path.join(sample, "base"));
after(() => base.session.dispose());

const prompt = {
  kind: "chat" as const,
  messages: [{ role: "user" as const, content: "Say <arr> to the sky" }],
};
const template = "{% for m in messages %}{{ '<arr>' + m['content'] }}{% endfor %}";

/** The pirate's folder with files of a tokenizer beside it. */
async function pirate(
  t: Parameters<typeof temporaryFolder>[0],
  files: Readonly<Record<string, string>>,
): Promise<string> {
  const folder = path.join(await temporaryFolder(t), "pirate");
  await cp(path.join(sample, "adapters/lora-pirate"), folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(path.join(folder, name), text);
  return folder;
}

/** The base's tokenizer with one token more. */
async function grown(): Promise<Record<string, string>> {
  const read = (name: string): Promise<string> => readFile(path.join(sample, "base", name), "utf8");
  const tokenizer = JSON.parse(await read("tokenizer.json")) as { added_tokens: object[] };
  const token = { id: 1024, content: "<arr>", special: false, single_word: false };
  const sides = { lstrip: false, rstrip: false, normalized: false };
  tokenizer.added_tokens.push({ ...token, ...sides });
  return {
    "tokenizer.json": JSON.stringify(tokenizer),
    "tokenizer_config.json": await read("tokenizer_config.json"),
    "chat_template.jinja": template,
  };
}

async function load(folder: string): Promise<{ model: PeftModel; adapter: LoadedAdapter }> {
  const model = await PeftModel.fromPretrained(base, folder);
  return { model, adapter: model.adapters[0] ?? assert.fail() };
}

test("prompts of an adapter go through its own tokenizer and chat template", async (t) => {
  const { model } = await load(await pirate(t, await grown()));
  const ids = model.encode(prompt);
  assert.equal(ids.filter((id) => id === 1024).length, 2);
  assert.deepEqual(model.encode(prompt, []), new PeftModel(base).encode(prompt));
  assert.equal(model.tokenizerFor([]), base.tokenizer);
  // The adapter has no row for its token: said, rather than another row taken.
  await assert.rejects(model.answer(prompt), /1024/);
  model.disableAdapter();
  assert((await model.answer(prompt, { maxNewTokens: 2 })).ids.length > 0);
});

test("a chat template alone goes with the base's tokenizer", async (t) => {
  const { model, adapter } = await load(await pirate(t, { "chat_template.jinja": template }));
  assert.equal(adapter.tokenizer?.chatTemplate, template);
  const text = "<arr>Say <arr> to the sky";
  assert.deepEqual(model.encode(prompt), base.tokenizer?.encode(text, { addSpecialTokens: false }));
});

test("a tokenizer that cannot be used is a warning, and the base's counts", async (t) => {
  const broken = await load(await pirate(t, { "tokenizer.json": "{}" }));
  assert.match(broken.adapter.warnings.join(), /own tokenizer is not used.*tokenizer\.json/);
  assert.equal(broken.model.tokenizerFor(), base.tokenizer);
  const slow = await load(await pirate(t, { "tokenizer.model": "x" }));
  assert.match(slow.adapter.warnings.join(), /tokenizer\.model without a tokenizer\.json/);
});

test("an adapter without files of its own takes the base's", async () => {
  const { model, adapter } = await load(path.join(sample, "adapters/lora-pirate"));
  assert.deepEqual([adapter.tokenizer, model.tokenizerFor()], [null, base.tokenizer]);
});
