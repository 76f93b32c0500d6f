import assert from "node:assert/strict";
import { test } from "node:test";
import { renderChat } from "../../../../extension/core/tokens/chatTemplate.ts";
import type { Tokenizer } from "../../../../extension/core/tokens/tokenizer.ts";
import {
  parseToolCalls,
  spokenPart,
  toolFormatOf,
  type ToolFormat,
} from "../../../../extension/core/tokens/toolCalls.ts";

const templates: [what: string, template: string | null, format: ToolFormat | null][] = [
  [
    "Qwen 2.5 and Hermes",
    '{% if tools %}<tool_call>\\n{"name": <function-name>}\\n</tool_call>{% endif %}',
    "hermes",
  ],
  [
    "Llama 3.1",
    '{% if tools %}{"name": function name, "parameters": dictionary}{{ \'"parameters": \' }}{% endif %}',
    "llama",
  ],
  ["Mistral", "{% for tool in tools %}[AVAILABLE_TOOLS]{% endfor %}[TOOL_CALLS]", "mistral"],
  ["calls in a format of its own", "{% if tools %}<tool_call><function=x>{% endif %}", null],
  ["no tools", "{% for m in messages %}{{ m.content }}{% endfor %}", null],
  ["no template", null, null],
];
for (const [what, template, format] of templates) {
  test(`the format of a template: ${what}`, () => assert.equal(toolFormatOf(template), format));
}

const args = { city: "Köln", days: 2 };
const call = (name: string, id = "call_1"): object => ({ id, name, arguments: args });
const answers: [what: string, format: ToolFormat, text: string, spoken: string, calls: object[]][] =
  [
    [
      "a call after words",
      "hermes",
      `Let me see.\n<tool_call>\n{"name": "weather", "arguments": ${JSON.stringify(args)}}\n</tool_call>`,
      "Let me see.",
      [call("weather")],
    ],
    [
      "two calls",
      "hermes",
      ["a", "b"]
        .map((name) => `<tool_call>${JSON.stringify({ name, arguments: args })}</tool_call>`)
        .join("\n"),
      "",
      [call("a"), call("b", "call_2")],
    ],
    [
      "a call that is no JSON stays text",
      "hermes",
      "<tool_call>weather()</tool_call>",
      "<tool_call>weather()</tool_call>",
      [],
    ],
    [
      "Llama's object",
      "llama",
      `{"name": "weather", "parameters": ${JSON.stringify(args)}}`,
      "",
      [call("weather")],
    ],
    [
      "behind Llama's tag",
      "llama",
      `<|python_tag|>{"name": "w", "parameters": ${JSON.stringify(args)}}`,
      "",
      [call("w")],
    ],
    ["another object", "llama", '{"a": 1}', '{"a": 1}', []],
    [
      "Mistral's list",
      "mistral",
      `[TOOL_CALLS] [{"name": "w", "arguments": ${JSON.stringify(args)}, "id": "abc123def"}]`,
      "",
      [call("w", "abc123def")],
    ],
    [
      "Mistral's newer form",
      "mistral",
      `[TOOL_CALLS]w[ARGS]${JSON.stringify(args)}`,
      "",
      [call("w")],
    ],
    ["words alone", "mistral", "It rains.", "It rains.", []],
  ];
for (const [what, format, text, spoken, calls] of answers) {
  test(`tool calls: ${what}`, () => {
    assert.deepEqual(parseToolCalls(text, format), calls);
    assert.equal(spokenPart(text, format, true), spoken);
    // While it is written nothing is shown that is taken back.
    const shown = [...text].map((_, i) => spokenPart(text.slice(0, i), format, false));
    if (calls.length > 0) for (const each of shown) assert(spoken.startsWith(each.trimEnd()), each);
  });
}

test("tools, calls and their results reach the template by Hugging Face's names", () => {
  const chatTemplate =
    "{% for tool in tools %}[{{ tool.function.name }}:{{ tool.function.parameters | tojson }}]{% endfor %}" +
    "{% for m in messages %}{{ m.role }}={{ m.content }}" +
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function.name }} {{ c.function.arguments | tojson }}</tool_call>{% endfor %}" +
    "{% if m.tool_call_id %}#{{ m.tool_call_id }}{% endif %};{% endfor %}";
  const tokenizer = { chatTemplate, specialTokens: {} } as unknown as Tokenizer;
  const text = renderChat(
    tokenizer,
    [
      { role: "user", content: "Hi" },
      { role: "assistant", content: "", toolCalls: [{ id: "a", name: "w", arguments: { x: 1 } }] },
      { role: "tool", content: "12", toolCallId: "a" },
    ],
    { tools: [{ name: "w", parameters: { type: "object" } }] },
  );
  assert.equal(
    text,
    '[w:{"type": "object"}]user=Hi;assistant=<tool_call>w {"x": 1}</tool_call>;tool=12#a;',
  );
});
