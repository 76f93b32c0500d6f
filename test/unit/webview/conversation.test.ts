import assert from "node:assert/strict";
import { test } from "node:test";
import {
  changed,
  type Conversation,
  messagesOf,
  restore,
} from "../../../webview/playground/conversation.ts";
import {
  defaultSampling,
  parseSetting,
  restoreSampling,
  settings,
} from "../../../webview/playground/settings.ts";

const empty = restore(undefined);
const end = {
  text: "moo",
  tokens: 3,
  tokensPerSecond: 10,
  promptTokens: 4,
  finish: "stop",
  seconds: 1,
  seed: 7,
  adapters: [],
} as const;

function asked(prompt: string, before: Conversation = empty): Conversation {
  return changed(before, { kind: "ask", prompt, label: "base" });
}

test("a prompt, its stream and its end are one answer", () => {
  const streaming = changed(asked("cow?"), {
    kind: "stream",
    event: { text: "mo", tokens: 1, tokensPerSecond: 5 },
  });
  assert.equal(streaming.turns.length, 2);
  assert.deepEqual(messagesOf(streaming), [{ role: "user", content: "cow?" }]);
  const done = changed(streaming, { kind: "finish", result: { ...end, adapters: [] } });
  const last = done.turns.at(-1);
  assert.ok(last?.kind === "assistant" && last.state === "stop" && last.seed === 7);
  assert.deepEqual(messagesOf(asked("and a cat?", done)), [
    { role: "user", content: "cow?" },
    { role: "assistant", content: "moo" },
    { role: "user", content: "and a cat?" },
  ]);
});

test("a failed answer and its prompt are left out of what the model reads next", () => {
  const failed = changed(asked("cow?"), { kind: "fail", problem: "no base" });
  assert.deepEqual(messagesOf(asked("again?", failed)), [{ role: "user", content: "again?" }]);
});

test("regenerating replaces the last answer, and the system prompt comes first", () => {
  const done = changed(asked("cow?"), { kind: "finish", result: { ...end, adapters: [] } });
  const again = changed(changed(done, { kind: "set", fields: { system: "Be kind." } }), {
    kind: "again",
    label: "base",
  });
  assert.equal(again.turns.length, 2);
  assert.deepEqual(messagesOf(again), [
    { role: "system", content: "Be kind." },
    { role: "user", content: "cow?" },
  ]);
});

test("what was saved comes back; an answer under way is interrupted, rubbish is dropped", () => {
  const saved: unknown = JSON.parse(JSON.stringify(asked("cow?")));
  const last = restore(saved).turns.at(-1);
  assert.ok(last?.kind === "assistant" && last.state === "interrupted");
  assert.deepEqual(restore({ turns: [null, 5, { kind: "user" }], draft: 3 }).turns, []);
});

test("sampling settings are checked, when typed and when restored", () => {
  const named = (key: string) => settings.find((setting) => setting.key === key) ?? settings[0];
  const check = (key: string, text: string, isFine: boolean): void => {
    const setting = named(key);
    assert.ok(setting);
    assert.equal("value" in parseSetting(setting, text), isFine, `${key} "${text}"`);
  };
  check("temperature", "0.7", true);
  check("temperature", "-1", false);
  check("topP", "0", false);
  check("topK", "2.5", false);
  check("maxNewTokens", "", false);
  check("seed", "", true);
  assert.deepEqual(restoreSampling({ topP: 7, temperature: "hot" }), defaultSampling);
});
