import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test, type TestContext } from "node:test";
import { type Prompt, renderPrompt } from "../../../../extension/core/answer.ts";
import type { BaseModel } from "../../../../extension/core/baseModel.ts";
import { type Message, renderChat } from "../../../../extension/core/tokens/chatTemplate.ts";
import { TextStream } from "../../../../extension/core/tokens/textStream.ts";
import { readTokenizer, type Tokenizer } from "../../../../extension/core/tokens/tokenizer.ts";
import { failure, fixtures, sample, temporaryFolder } from "../support.ts";

interface Vectors {
  texts: { text: string; ids: number[]; decoded: string; decoded_skip_special: string }[];
  chats: { messages: Message[]; rendered: string; rendered_no_prompt: string }[];
}

const base = path.join(sample, "base");
const tokenizer = (await readTokenizer(base)) as Tokenizer;
const { texts, chats } = JSON.parse(
  await readFile(path.join(fixtures, "sample/tokenization.json"), "utf8"),
) as Vectors;

for (const { text, ids, decoded, decoded_skip_special: skipped } of texts) {
  test(`${JSON.stringify(text)} is encoded and decoded as in Python`, () => {
    assert.deepEqual(tokenizer.encode(text), ids);
    assert.equal(tokenizer.decode(ids), skipped);
    assert.equal(tokenizer.decode(ids, { skipSpecialTokens: false }), decoded);
  });

  test(`${JSON.stringify(text)} streams as it is decoded whole`, () => {
    const stream = new TextStream(tokenizer);
    for (const [i, id] of ids.entries()) {
      const before = stream.text;
      stream.push(id);
      assert(stream.text.startsWith(before), "what was shown is taken back");
      const whole = tokenizer.decode(ids.slice(0, i + 1));
      // An unfinished character waits; nothing else does.
      if (!whole.endsWith("\uFFFD")) assert.equal(stream.text, whole);
      assert(!stream.text.includes("\uFFFD"));
    }
    assert.equal(stream.finish(), skipped);
  });
}

test("a character of four tokens appears with its last", () => {
  const ids = tokenizer.encode("a\u{1F600}b");
  assert(ids.length > 4, "the tokenizer has a token for it");
  const stream = new TextStream(tokenizer);
  const shown = ids.map((id) => {
    stream.push(id);
    return stream.text;
  });
  assert.deepEqual([...new Set(shown)], ["a", "a\u{1F600}", "a\u{1F600}b"]);
});

test("an answer that ends in the middle of a character says so at its end", () => {
  const stream = new TextStream(tokenizer);
  for (const id of tokenizer.encode("a\u{1F600}").slice(0, -1)) stream.push(id);
  assert.equal(stream.text, "a");
  assert.match(stream.finish(), /^a\uFFFD+$/);
});

test("a long text streams as it is decoded whole", () => {
  const text = "The sky is blue, naïve café ☕ said: 12 cats. ".repeat(20);
  const stream = new TextStream(tokenizer);
  for (const id of tokenizer.encode(text)) stream.push(id);
  assert.equal(stream.text, text);
  assert.equal(stream.finish(), text);
});

for (const { messages, rendered, rendered_no_prompt: closed } of chats) {
  test(`a chat of ${messages.map(({ role }) => role).join(", ")} is rendered as in Python`, () => {
    assert.equal(renderChat(tokenizer, messages), rendered);
    assert.equal(renderChat(tokenizer, messages, { addGenerationPrompt: false }), closed);
  });
}

const hello: Message[] = [{ role: "user", content: "Hi" }];

/** The sample's tokenizer with other settings, and perhaps a template file beside it. */
async function tokenizerWith(t: TestContext, settings: object, jinja?: string): Promise<Tokenizer> {
  const folder = await temporaryFolder(t);
  await cp(path.join(base, "tokenizer.json"), path.join(folder, "tokenizer.json"));
  await writeFile(path.join(folder, "tokenizer_config.json"), JSON.stringify(settings));
  if (jinja !== undefined) await writeFile(path.join(folder, "chat_template.jinja"), jinja);
  return (await readTokenizer(folder)) as Tokenizer;
}

// prettier-ignore
const templates: [what: string, settings: object, jinja: string | undefined, rendered: string][] = [
  ["a string", { chat_template: "A{{ messages[0].content }}" }, undefined, "AHi"],
  ["a file wins", { chat_template: "A" }, "B", "B"],
  ["the default of several", { chat_template: [{ name: "tool_use", template: "T" }, { name: "default", template: "D" }] }, undefined, "D"],
  ["special tokens, as string or object", { eos_token: "</s>", bos_token: { content: "<s>" }, chat_template: "{{ bos_token }}{{ eos_token }}" }, undefined, "<s></s>"],
];

for (const [what, settings, jinja, rendered] of templates) {
  test(`chat template: ${what}`, async (t) => {
    assert.equal(renderChat(await tokenizerWith(t, settings, jinja), hello), rendered);
  });
}

test("a model without template reads a conversation as one text, where that was agreed to", async (t) => {
  const without = await tokenizerWith(t, {});
  const model = { base: {} as BaseModel, tokenizerFor: () => without };
  const messages: Message[] = [...hello, { role: "assistant", content: "Yes?" }];
  const prompt: Prompt = { kind: "chat", messages, orText: true };
  assert.equal(renderPrompt(model, prompt, []).text, "Hi\n\nYes?");
  const refuses = (): unknown => renderPrompt(model, { kind: "chat", messages }, []);
  assert.throws(refuses, failure("unsupported", "no chat template"));
});

test("a model without template, and a template that fails, say so", async (t) => {
  const without = await tokenizerWith(t, {});
  assert.throws(() => renderChat(without, hello), failure("unsupported", "no chat template"));
  const failing = await tokenizerWith(t, { chat_template: "{{ raise_exception('no user') }}" });
  assert.throws(() => renderChat(failing, hello), failure("bad-file", "no user"));
  const broken = await tokenizerWith(t, { chat_template: "{% if %}" });
  assert.throws(() => renderChat(broken, hello), failure("bad-file", "chat template"));
});

test("a folder without tokenizer.json has none; one that is no tokenizer is refused", async (t) => {
  const folder = await temporaryFolder(t);
  assert.equal(await readTokenizer(folder), null);
  await writeFile(path.join(folder, "tokenizer.json"), "{}");
  await assert.rejects(readTokenizer(folder), failure("bad-file", folder));
});

test("the end of a text is the token that the settings name", async (t) => {
  assert.equal(tokenizer.eosTokenId, 2);
  const none = await tokenizerWith(t, { eos_token: "<|nothing|>" });
  assert.equal(none.eosTokenId, null);
  assert.equal((await tokenizerWith(t, {})).eosTokenId, null);
});
