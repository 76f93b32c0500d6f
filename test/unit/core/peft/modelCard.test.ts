import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { type CardFacts, modelCard } from "../../../../extension/core/peft/modelCard.ts";
import { failure, temporaryFolder } from "../support.ts";

const lora = { baseName: "models/llama", peftType: "LORA", taskType: "CAUSAL_LM" };

function facts(config: Partial<typeof lora> = {}): CardFacts {
  return { name: "my-adapter", configs: [{ ...lora, ...config }], peftVersion: "0.21.0" };
}

const tags = "tags:\n- base_model:adapter:models/llama\n- lora\n- transformers\n";
const front = `base_model: models/llama\nlibrary_name: peft\npipeline_tag: text-generation\n${tags}`;
const version = "### Framework versions\n\n- PEFT 0.21.0";

/** What create_or_update_model_card of PEFT 0.21.0 made of them. */
const updated: [what: string, old: string, wanted: string][] = [
  ["no front matter", "# Only text\nline\n", `---\n${front}---\n# Only text\nline\n${version}`],
  [
    "much front matter and an older version",
    "---\nlicense: apache-2.0\nlanguage:\n- en\nbase_model: old/base\ntags:\n- transformers\ndatasets:\n- imdb\n---\n\n# My adapter\n\nText with ünïcode.\n\n### Framework versions\n\n- PEFT 0.10.0\n- Transformers 4.40\n",
    `---\nlicense: apache-2.0\nlanguage:\n- en\nbase_model: models/llama\n${tags}datasets:\n- imdb\nlibrary_name: peft\npipeline_tag: text-generation\n---\n\n# My adapter\n\nText with ünïcode.\n\n${version}\n- PEFT 0.10.0\n- Transformers 4.40`,
  ],
  [
    "another pipeline and this version",
    "---\nlicense: mit\npipeline_tag: text-classification\n---\n# A\n## Training procedure\n\nfoo\n\n### Framework versions\n\n\n- PEFT 0.21.0\n",
    `---\nlicense: mit\npipeline_tag: text-classification\nbase_model: models/llama\nlibrary_name: peft\n${tags}---\n# A\n## Training procedure\n\nfoo\n\n### Framework versions\n\n\n- PEFT 0.21.0`,
  ],
  [
    "its heading at the end",
    "---\nlibrary_name: transformers\n---\n# A\n### Framework versions",
    `---\nlibrary_name: peft\nbase_model: models/llama\npipeline_tag: text-generation\n${tags}---\n# A\n### Framework versions\n- PEFT 0.21.0`,
  ],
];

for (const [what, old, wanted] of updated) {
  test(`a card with ${what} becomes what PEFT makes of it`, async (t) => {
    const file = path.join(await temporaryFolder(t), "README.md");
    await writeFile(file, old);
    const card = await modelCard(file, facts());
    assert.equal(card, wanted);
    await writeFile(file, card);
    assert.equal(await modelCard(file, facts()), card, "a second time changes something");
  });
}

test("a new card has PEFT's front matter", async (t) => {
  const file = path.join(await temporaryFolder(t), "README.md");
  const card = await modelCard(file, facts());
  assert(card.startsWith(`---\n${front}---\n`), card);
  assert(card.endsWith(version), card);
  assert(card.includes("LoRA") && card.includes("# my-adapter"), card);
  const ia3 = await modelCard(file, facts({ peftType: "IA3", taskType: "SEQ_CLS" }));
  assert(!/pipeline_tag|lora/.test(ia3), ia3);
});

test("lines of Windows, comments, tags and unknown fields of a card stay", async (t) => {
  const file = path.join(await temporaryFolder(t), "README.md");
  const lines = ["---", "# ours", "x: null", "tags: [zeta, base_model:adapter:old]", "---", "# Hi"];
  await writeFile(file, lines.join("\r\n"));
  const card = await modelCard(file, facts());
  assert(!/[^\r]\n/.test(card), JSON.stringify(card));
  for (const kept of ["# ours", "x: null", "zeta", "# Hi"]) assert(card.includes(kept), card);
  assert(!card.includes("adapter:old"), card);
});

for (const text of ["---\na: [\n---\n", "---\n- a list\n---\n# A\n"]) {
  test(`front matter ${JSON.stringify(text)} is refused by name`, async (t) => {
    const file = path.join(await temporaryFolder(t), "README.md");
    await writeFile(file, text);
    await assert.rejects(modelCard(file, facts()), failure("bad-file", file, "front matter"));
  });
}
