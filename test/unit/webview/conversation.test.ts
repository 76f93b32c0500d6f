import assert from "node:assert/strict";
import { test } from "node:test";
import type { ColumnResult, TokenDetail } from "../../../extension/protocol/generationContract.ts";
import {
  type Change,
  changed,
  type Conversation,
  isRunning,
  messagesOf,
} from "../../../webview/playground/conversation.ts";
import { divergence } from "../../../webview/playground/divergence.ts";
import { freshColumnId, restore } from "../../../webview/playground/restore.ts";
import {
  defaultSampling,
  formatStops,
  parseSetting,
  parseStops,
  schemaProblem,
  settings,
} from "../../../webview/playground/settings.ts";

const token = (id: number, piece: string): TokenDetail => ({
  ...{ id, piece, text: piece },
  probability: 0.5,
  alternatives: [],
});

const end = (id: string, text: string): ColumnResult => ({
  ...{ id, text, tokens: 3, tokensPerSecond: 10, promptTokens: 4 },
  ...{ finish: "stop", seconds: 1, seed: 7, adapters: [], changes: [] },
});

const twoColumns = restore({
  id: "x",
  columns: [
    { id: "c1", adapters: [] },
    { id: "c2", adapters: [{ name: "pirate", weight: 1, path: "/p" }] },
  ],
});

const labels = { c1: "base", c2: "base + pirate" };

function after(before: Conversation, ...changes: Change[]): Conversation {
  return changes.reduce(changed, before);
}

function asked(prompt: string, before = twoColumns, exchange = prompt): Conversation {
  return after(before, { kind: "ask", exchange, prompt, labels });
}

function answered(prompt: string, before = twoColumns): Conversation {
  const columns = [end("c1", `${prompt} base`), end("c2", `${prompt} arr`)];
  return after(asked(prompt, before), { kind: "finish", exchange: prompt, columns });
}

test("columns stream and end, each with its own answer and history", () => {
  const streaming = after(asked("cow?"), {
    kind: "stream",
    exchange: "cow?",
    columns: [
      { id: "c2", text: "mo", tokens: 1, tokensPerSecond: 5, finish: null },
      { id: "gone", text: "?", tokens: 1, tokensPerSecond: 5, finish: null },
    ],
  });
  const { answers } = streaming.exchanges[0] ?? assert.fail();
  assert.deepEqual(Object.keys(answers), ["c1", "c2"]);
  assert.equal(answers["c2"]?.text, "mo");
  assert.ok(isRunning(streaming));
  const done = answered("cow?");
  assert.ok(!isRunning(done));
  assert.deepEqual(messagesOf(asked("cat?", done), "c2", "cat?"), [
    { role: "user", content: "cow?" },
    { role: "assistant", content: "cow? arr" },
    { role: "user", content: "cat?" },
  ]);
});

test("tokens are appended where they belong, and a gap waits for the result", () => {
  const stream = (from: number, ...tokens: TokenDetail[]): Change => ({
    kind: "stream",
    exchange: "q",
    columns: [
      {
        id: "c1",
        text: "",
        tokens: 0,
        tokensPerSecond: 0,
        finish: null,
        newTokens: { from, tokens },
      },
    ],
  });
  const idsAfter = (...changes: Change[]): number[] =>
    after(asked("q"), ...changes).exchanges[0]?.answers["c1"]?.details.map(({ id }) => id) ?? [];
  assert.deepEqual(idsAfter(stream(0, token(1, "a")), stream(1, token(2, "b"))), [1, 2]);
  assert.deepEqual(idsAfter(stream(0, token(1, "a")), stream(2, token(3, "c"))), [1]);
  assert.deepEqual(idsAfter(stream(0, token(1, "a")), stream(0, token(4, "d"))), [4]);
});

test("a failed answer and its prompt are left out of what the model reads next", () => {
  const failed = after(asked("cow?"), { kind: "fail", exchange: "cow?", problem: "no base" });
  assert.equal(failed.exchanges[0]?.answers["c1"]?.problem, "no base");
  assert.deepEqual(messagesOf(asked("again?", failed), "c1", "again?"), [
    { role: "user", content: "again?" },
  ]);
});

test("what a stop leaves stays said; only running answers are stopped", () => {
  const stopped = after(answered("a"), { kind: "cancel", exchange: "a" });
  assert.equal(stopped.exchanges[0]?.answers["c1"]?.state, "stop");
  const both = after(asked("b"), { kind: "cancel", exchange: "b" });
  assert.equal(both.exchanges[0]?.answers["c1"]?.state, "cancelled");
});

test("rerunning a turn takes another prompt and drops what followed", () => {
  const long = answered("c", answered("b", answered("a")));
  const again = after(long, { kind: "rerun", exchange: "b", prompt: "B", labels });
  assert.deepEqual(
    again.exchanges.map(({ prompt }) => prompt),
    ["a", "B"],
  );
  assert.ok(isRunning(again));
  const one = after(long, { kind: "again", exchange: "c", labels: { c2: "x" } });
  assert.equal(one.exchanges[2]?.answers["c1"]?.state, "stop");
  assert.equal(one.exchanges[2]?.answers["c2"]?.state, "running");
  const without = after(long, { kind: "delete", exchange: "a" });
  assert.equal(messagesOf(without, "c1", "c").length, 3);
});

test("the system prompt comes first, and a draft last where nothing is asked", () => {
  const kind = after(
    answered("cow?"),
    { kind: "settings", settings: { system: "Be kind." } },
    { kind: "set", fields: { draft: " and a cat? " } },
  );
  const roles = messagesOf(kind, "c1").map(({ role }) => role);
  assert.deepEqual(roles, ["system", "user", "assistant", "user"]);
  assert.equal(messagesOf(kind, "c1").at(-1)?.content, "and a cat?");
});

test("columns are added, moved and removed; the last one stays", () => {
  const three = after(twoColumns, { kind: "addColumn", column: { id: "c3", adapters: [] }, at: 0 });
  const order = (conversation: Conversation): string =>
    conversation.columns.map(({ id }) => id).join(" ");
  assert.equal(order(three), "c3 c1 c2");
  assert.equal(order(after(three, { kind: "moveColumn", id: "c3", by: 1 })), "c1 c3 c2");
  assert.equal(order(after(three, { kind: "moveColumn", id: "c2", by: 1 })), "c3 c1 c2");
  const one = after(
    twoColumns,
    { kind: "removeColumn", id: "c1" },
    { kind: "removeColumn", id: "c2" },
  );
  assert.equal(order(one), "c2");
  assert.equal(freshColumnId(three.columns), "c4");
  // A column that comes later has nothing of what was said before.
  const late = after(answered("cow?"), { kind: "addColumn", column: { id: "c3", adapters: [] } });
  assert.deepEqual(messagesOf(late, "c3", "cow?"), [{ role: "user", content: "cow?" }]);
  assert.deepEqual(messagesOf(late, "c3"), []);
});

test("answers part at the first other token, or where one of them ends", () => {
  const first = [token(1, "The"), token(2, " sky"), token(3, ".")];
  assert.deepEqual(divergence(first, [token(1, "The"), token(9, " sea")], false), {
    token: 1,
    offset: 3,
  });
  assert.equal(divergence(first, first.slice(0, 2), false), null);
  assert.deepEqual(divergence(first, first.slice(0, 2), true), { token: 2, offset: 7 });
  assert.equal(divergence(first, [...first], true), null);
});

test("what was saved comes back; an answer under way is interrupted, rubbish is dropped", () => {
  const saved: unknown = JSON.parse(JSON.stringify(asked("cow?")));
  const back = restore(saved);
  assert.deepEqual(back.columns, twoColumns.columns);
  assert.equal(back.exchanges[0]?.answers["c1"]?.state, "interrupted");
  const rubbish = restore({
    columns: [5, { id: "" }],
    exchanges: [null, { id: "a" }, { id: "b", prompt: "c", answers: { x: 3 } }],
    settings: { stop: [1, "END"], sampling: { topP: 7, temperature: "hot" } },
    draft: 3,
  });
  assert.deepEqual(rubbish.columns, [{ id: "c1", adapters: [] }]);
  assert.deepEqual(rubbish.exchanges, [{ id: "b", prompt: "c", answers: {} }]);
  assert.deepEqual(rubbish.settings.stop, ["END"]);
  assert.deepEqual(rubbish.settings.sampling, defaultSampling);
});

test("sampling settings, stop sequences and schemas are checked as they are typed", () => {
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
  const stops = ["END", "\n\n", "back\\slash\t"];
  assert.deepEqual(parseStops(formatStops(stops)), stops);
  assert.deepEqual(parseStops("a\n\nb"), ["a", "b"]);
  assert.equal(schemaProblem(""), "");
  assert.equal(schemaProblem('{"type": "object"}'), "");
  assert.match(schemaProblem("{"), /not JSON/);
  assert.match(schemaProblem("[]"), /object/);
});
