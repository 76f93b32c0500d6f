import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { explain, suggest } from "../../../extension/prompts/language.ts";
import { parsePromptFile } from "../../../extension/prompts/parse.ts";
import { promptSchema } from "../../../extension/prompts/schema.ts";
import { yamlPlace } from "../../../extension/prompts/yamlPath.ts";

const names = { bases: ["graft-sample"], adapters: ["lora-pirate", "lora-json"] };

/** A text with ‸ where the cursor is. */
function at(marked: string): { text: string; offset: number } {
  const offset = marked.indexOf("‸");
  assert(offset >= 0, "no cursor");
  return { text: marked.replace("‸", ""), offset };
}

const places: [marked: string, parent: string, key: string | null, isValue: boolean][] = [
  ["‸", "", null, false],
  ["na‸", "", null, false],
  ["name: x‸", "", "name", true],
  ["modelParameters:\n  ‸", "modelParameters", null, false],
  ["modelParameters:\n  topP: ‸", "modelParameters", "topP", true],
  ["messages:\n  - ‸", "messages[]", null, false],
  ["messages:\n- ‸", "messages[]", null, false],
  ["messages:\n  - role: ‸", "messages[]", "role", true],
  ["messages:\n  - role: user\n    ‸", "messages[]", null, false],
  ["messages:\n- role: user\n  ‸", "messages[]", null, false],
  ["messages:\n  - role: user\n    content: |\n      a: b\n\n    ‸", "messages[]", null, false],
  ["messages:\n- role: user\ntestData:\n- a: 1\n‸", "", null, false],
  ["evaluators:\n  - name: x\n    string:\n      con‸", "evaluators[].string", null, false],
  ["graft:\n  adapters:\n    - ‸", "graft.adapters[]", null, false],
  ["graft:\n  adapters:\n    - - ‸", "graft.adapters[][]", null, false],
  [
    "graft:\n  evaluators:\n    - perplexity:\n        of: ‸",
    "graft.evaluators[].perplexity",
    "of",
    true,
  ],
];
for (const [marked, parent, key, isValue] of places) {
  test(`the place in ${JSON.stringify(marked)}`, () => {
    const { text, offset } = at(marked);
    const place = yamlPlace(text, offset);
    assert.deepEqual([place?.parent, place?.key, place?.isValue], [parent, key, isValue]);
  });
}

test("no place in comments and blocks of text", () => {
  for (const marked of ["# na‸", "name: x # ‸", "messages:\n  - content: |\n      na‸"]) {
    const { text, offset } = at(marked);
    assert.equal(yamlPlace(text, offset), null, marked);
  }
});

function suggested(marked: string): string[] {
  const { text, offset } = at(marked);
  return suggest(text, offset, { file: parsePromptFile(text), names }).map(({ label }) => label);
}

test("keys: those of the place, without what is there already", () => {
  const top = suggested("name: x\nmessages: []\n‸");
  assert(top.includes("model") && top.includes("graft"));
  assert(!top.includes("name") && !top.includes("messages"));
  assert.deepEqual(suggested("messages:\n  - role: user\n    ‸"), ["content"]);
  assert.deepEqual(suggested("messages:\n  - ‸\n    content: hi\n"), ["role"]);
  const rules = ["equals", "contains", "startsWith", "endsWith"];
  assert.deepEqual(suggested("evaluators:\n  - string:\n      ‸"), rules);
  const own = suggested("graft:\n  evaluators:\n    - ‸");
  assert(own.includes("regex") && own.includes("differsFromBase") && own.includes("string"));
  assert(!suggested("evaluators:\n  - ‸").includes("regex"), "GitHub's tool would stop there");
});

test("values: roles, formats, models and adapters", () => {
  assert.deepEqual(suggested("messages:\n  - role: ‸"), ["system", "user", "assistant"]);
  assert.deepEqual(suggested("responseFormat: js‸"), ["text", "json_object", "json_schema"]);
  assert.deepEqual(suggested("model: ‸"), ["graft-sample"]);
  assert.deepEqual(suggested("graft:\n  adapters:\n    - ‸").slice(0, 2), names.adapters);
  assert.deepEqual(suggested("graft:\n  adapters:\n    - adapter: ‸"), names.adapters);
  assert(suggested("evaluators:\n  - adapters:\n      - ‸").includes("base"));
  assert.deepEqual(suggested("graft:\n  evaluators:\n    - differsFromBase: ‸"), ["true", "false"]);
});

test("variables: in messages those of rows, in rows those of messages", () => {
  const rows = "testData:\n  - colour: red\n    size: 1\n";
  const text = `messages:\n  - role: user\n    content: "{{co‸"\n${rows}`;
  const { text: plain, offset } = at(text);
  // A file that is being written is often no YAML yet; its rows are known from before.
  const file = parsePromptFile(`messages: [{ role: user, content: x }]\n${rows}`);
  const found = suggest(plain, offset, { file, names });
  assert.deepEqual(
    found.map(({ insert, replaces }) => [insert, replaces]),
    [
      ["colour}}", 2],
      ["size}}", 2],
    ],
  );
  const head = "messages:\n  - role: user\n    content: '{{a}} {{b}}'\ntestData:\n  - a: 1\n    ‸";
  assert.equal(suggested(head)[0], "b");
});

test("hover: a key's meaning, a variable's values", () => {
  const hover = (marked: string): string | null => {
    const { text, offset } = at(marked);
    return explain(text, offset, parsePromptFile(text));
  };
  assert.match(hover("modelParameters:\n  to‸pP: 1\n") ?? "", /\*\*topP\*\*.*\n\n0 to 1/s);
  assert.match(hover("messages:\n  - ro‸le: user\n") ?? "", /`system` · `user`/);
  assert.match(hover("graft:\n  evalua‸tors: []\n") ?? "", /Graft's own/);
  const file =
    "messages:\n  - role: user\n    content: '{{‸a}}'\ntestData:\n  - a: red\n  - a: blue\n";
  assert.equal(hover(file), "**a**\n\n- red\n- blue");
  assert.equal(hover("colour‸: red\n"), null);
  assert.equal(hover("name: na‸me\n"), null);
});

test("the schema for other editors is made from the list of fields (UPDATE=1 writes it)", async () => {
  const place = fileURLToPath(
    new URL("../../../media/schemas/prompt.schema.json", import.meta.url),
  );
  const text = `${JSON.stringify(promptSchema(), null, 2)}\n`;
  if (process.env["UPDATE"] === "1") await writeFile(place, text);
  assert.deepEqual(JSON.parse(await readFile(place, "utf8")), JSON.parse(text));
});
