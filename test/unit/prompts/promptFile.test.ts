import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { parsePromptFile } from "../../../extension/prompts/parse.ts";
import { placeOf, sayProblem } from "../../../extension/prompts/problem.ts";
import { columnLabel, rowLabel } from "../../../extension/prompts/promptFile.ts";
import { render, renderPrompt, variablesOf } from "../../../extension/prompts/template.ts";

/** The example of GitHub's documentation. */
const summarizer = `name: Text Summarizer
description: Summarizes input text concisely
model: openai/gpt-4o-mini
modelParameters:
  temperature: 0.5
messages:
  - role: system
    content: You are a text summarizer.
  - role: user
    content: |
      Summarize the given text, beginning with "Summary -":
      <text>
      {{input}}
      </text>
testData:
  - input: |
      The quick brown fox jumped over the lazy dog.
      The dog was too tired to react.
    expected: Summary - A fox jumped over a lazy, unresponsive dog.
evaluators:
  - name: Output should start with 'Summary -'
    string:
      startsWith: 'Summary -'
`;

/** "3:7 what is wrong" of each problem. */
function problems(text: string): string[] {
  return parsePromptFile(text).problems.map(({ message, span, severity }) => {
    const { line, column } = placeOf(text, span.start);
    return `${severity} ${line}:${column} ${message}`;
  });
}

test("GitHub's own example is read without a problem", () => {
  const file = parsePromptFile(summarizer);
  assert.deepEqual(file.problems, []);
  assert.deepEqual(
    [file.name, file.model?.id, file.parameters, file.format],
    ["Text Summarizer", "openai/gpt-4o-mini", { temperature: 0.5 }, "text"],
  );
  assert.deepEqual(
    file.messages.map(({ role }) => role),
    ["system", "user"],
  );
  const [row] = file.rows;
  assert.equal(row?.expected, "Summary - A fox jumped over a lazy, unresponsive dog.");
  assert.deepEqual(placeOf(summarizer, row.span.start), { line: 16, column: 5 });
  assert.deepEqual(file.evaluators[0]?.rule, {
    kind: "string",
    how: "startsWith",
    value: "Summary -",
  });
  const prompt = renderPrompt(file, row.values, { isChat: true });
  assert(prompt.kind === "chat");
  assert.match(
    prompt.messages[1]?.content ?? "",
    /<text>\nThe quick brown fox.*\n.*react\.\n\n<\/text>/,
  );
  assert.equal(rowLabel(row), "The quick brown fox jumped over the lazy dog. The dog was t…");
});

test("the sample workspace's file has no problem and uses all that Graft adds", async () => {
  const place = fileURLToPath(new URL("../../../media/workspace/sky.prompt.yml", import.meta.url));
  const file = parsePromptFile(await readFile(place, "utf8"));
  assert.deepEqual(file.problems, []);
  assert.equal(file.rows.length, 3);
  assert.deepEqual(
    file.columns.map(({ label }) => label),
    ["lora-pirate"],
  );
  assert.deepEqual(
    new Set(file.evaluators.map(({ rule }) => rule.kind)),
    new Set(["string", "regex", "differsFromBase", "perplexity"]),
  );
});

test("adapters: names, paths, weights and mixes", () => {
  const { columns, problems: found } = parsePromptFile(`messages: [{ role: user, content: hi }]
graft:
  adapters:
    - lora-pirate
    - { adapter: ./runs/json, weight: 0.5 }
    - [lora-pirate, { adapter: lora-json, weight: -0.25 }]
`);
  assert.deepEqual(found, []);
  assert.deepEqual(
    columns.map(({ label }) => label),
    ["lora-pirate", "json ×0.5", "lora-pirate + lora-json ×-0.25"],
  );
  assert.equal(columnLabel([]), "base");
});

const hi = "messages: [{ role: user, content: hi }]\n";
const cases: [what: string, text: string, expected: string[]][] = [
  ["no messages", "name: x\n", ["error 1:1 A prompt file needs messages"]],
  ["a role", "messages:\n  - role: boss\n    content: hi\n", ["error 2:11 “boss” is no role"]],
  ["a message without content", "messages:\n  - role: user\n", ["error 2:5 A message needs role"]],
  ["broken YAML", "name: [1\nmessages: {", ["error", "error"]],
  ["a key twice", `${hi}name: a\nname: b\n`, ["error 3:1 Map keys must be unique"]],
  ["an unknown key", `${hi}colour: red\n`, ["warning 2:1 “colour” is not known here"]],
  ["a key in another case", `${hi}testdata: []\n`, ["“testData” is meant"]],
  [
    "a number",
    `${hi}modelParameters:\n  topP: 2\n`,
    ["error 3:9 topP has to be a number from 0 to 1"],
  ],
  ["a whole number", `${hi}modelParameters: { maxTokens: 1.5 }\n`, ["error 2:31 maxTokens"]],
  [
    "what Graft has not",
    `${hi}modelParameters:\n  presencePenalty: 1\n`,
    ["info 3:3 Not used by Graft"],
  ],
  ["a list that is none", "messages: hello\n", ["error 1:11 messages has to be a list"]],
  [
    "an evaluator without rule",
    `${hi}evaluators:\n  - name: x\n`,
    ["error 3:5 An evaluator needs a rule"],
  ],
  [
    "a regular expression",
    `${hi}graft:\n  evaluators:\n    - regex: "("\n`,
    ["error 4:14 Invalid regular"],
  ],
  [
    "own rule among GitHub's",
    `${hi}evaluators:\n  - regex: a\n`,
    ["warning 3:5 “regex” is Graft's own"],
  ],
  [
    "a judge",
    `${hi}evaluators:\n  - { name: a, uses: github/similarity }\n`,
    ["info 3:16 A judge of GitHub"],
  ],
  [
    "a bound",
    `${hi}graft: { evaluators: [{ perplexity: {} }] }\n`,
    ["error 2:37 perplexity needs atMost"],
  ],
  [
    "json_schema alone",
    `${hi}responseFormat: json_schema\n`,
    ["error 2:17 json_schema needs a jsonSchema"],
  ],
  ["a schema that is no JSON", `${hi}jsonSchema: "{"\n`, ["error 2:13 jsonSchema is no JSON"]],
  [
    "variables of no row",
    "messages:\n  - role: user\n    content: Say {{what}} to {{ who }}.\ntestData:\n  - what: hi\n    extra: 1\n",
    ["warning 3:30 “who” has no value in any row", "info 6:5 No message uses “extra”"],
  ],
  [
    "a variable that one row has not",
    "messages:\n  - { role: user, content: '{{a}}' }\ntestData:\n  - a: 1\n  - expected: 2\n",
    ["warning 5:5 This row has no value for “a”"],
  ],
  [
    "variables without data",
    "messages: [{ role: user, content: '{{a}}' }]\n",
    ["there is no testData"],
  ],
];

for (const [what, text, expected] of cases) {
  test(`${what}: told where it is`, () => {
    const found = problems(text);
    assert.equal(found.length, expected.length, found.join("\n"));
    expected.forEach((part, i) => assert(found[i]?.includes(part), `${found[i]}, not ${part}`));
  });
}

test("a hostile file ends in a problem, not in the memory", () => {
  const bomb = ["a: &a [x,x,x,x,x,x,x,x,x]"];
  for (const [from, to] of ["ab", "bc", "cd", "de", "ef", "fg", "gh"]) {
    bomb.push(`${to}: &${to} [${Array<string>(9).fill(`*${from}`).join(",")}]`);
  }
  const text = `${hi}${bomb.join("\n")}\njsonSchema: *h\n`;
  assert(problems(text).some((line) => /alias/i.test(line)));
  assert.match(problems("x".repeat(4_000_001))[0] ?? "", /longer than 4 MB/);
});

test("a problem is said with file, line and column", () => {
  const [problem] = parsePromptFile("name: x\n").problems;
  assert(problem);
  assert.match(sayProblem("a.prompt.yml", "name: x\n", problem), /^a\.prompt\.yml:1:1: A prompt/);
});

test("variables: spaces inside, nothing else, and never a value of Object itself", () => {
  assert.deepEqual(
    variablesOf("{{a}} {{ b_1 }} {{}} {{2}} { {c} } {{d.e}}").map(({ name }) => name),
    ["a", "b_1", "d.e"],
  );
  assert.equal(render("{{a}} {{b}} {{toString}}", { a: "$&", b: "" }), "$&  {{toString}}");
});
