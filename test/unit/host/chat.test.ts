import assert from "node:assert/strict";
import { test } from "node:test";
import { conversationOf } from "../../../extension/chat/chatMessages.ts";
import { chatModels } from "../../../extension/chat/chatModels.ts";
import { emptyState, type State } from "../../../extension/state.ts";
import { base, loaded } from "./samples.ts";

const state = (change: Partial<State>): State => ({ ...emptyState, base, ...change });
const [pirate, json] = [loaded("pirate"), loaded("json")];

const cases: [what: string, state: State, names: string[]][] = [
  ["nothing is known", emptyState, []],
  ["bases that were found", { ...emptyState, bases: [base] }, ["graft-sample"]],
  ["a base that cannot run", { ...emptyState, bases: [{ ...base, unsupported: "No." }] }, []],
  ["the base alone", state({}), ["graft-sample"]],
  [
    "adapters that are loaded",
    state({ loaded: [pirate, json], active: [{ name: "pirate", weight: 1 }] }),
    ["graft-sample", "graft-sample + pirate", "graft-sample + json"],
  ],
  [
    "a mix",
    state({
      loaded: [pirate],
      active: [{ name: "pirate", weight: 0.5 }],
    }),
    ["graft-sample", "graft-sample + pirate", "graft-sample + pirate ×0.5"],
  ],
  ["a base without a chat template", state({ base: { ...base, hasChatTemplate: false } }), []],
  ["a base that labels", state({ base: { ...base, task: "sequence-classification" } }), []],
];
for (const [what, given, names] of cases) {
  test(`models that chat: ${what}`, () => {
    const models = chatModels(given);
    assert.deepEqual(
      models.map(({ name }) => name),
      names,
    );
    assert.equal(new Set(models.map(({ id }) => id)).size, models.length);
    assert(models.every(({ isLoaded }) => isLoaded === (given.base !== null)));
  });
}

test("a conversation with tools is read from the parts of VS Code's messages", () => {
  const text = (value: string): object => ({ value });
  const messages = [
    { role: 3, content: [text("Be brief.")] },
    { role: 1, content: [text("How is the "), text("weather?")] },
    {
      role: 2,
      content: [text("Let me see."), { callId: "a", name: "weather", input: { at: "Köln" } }],
    },
    { role: 1, content: [{ callId: "a", content: [text("12 °C")] }] },
    { role: 1, content: [text("And tomorrow?")] },
  ];
  assert.deepEqual(
    conversationOf(messages, () => assert.fail()),
    [
      { role: "system", content: "Be brief." },
      { role: "user", content: "How is the weather?" },
      {
        role: "assistant",
        content: "Let me see.",
        toolCalls: [{ id: "a", name: "weather", arguments: { at: "Köln" } }],
      },
      { role: "tool", content: "12 °C", toolCallId: "a" },
      { role: "user", content: "And tomorrow?" },
    ],
  );
});

test("a part that no text model reads is told, not left out", () => {
  let others = 0;
  conversationOf([{ role: 1, content: [{ mimeType: "image/png", data: [] }] }], () => others++);
  assert.equal(others, 1);
});
