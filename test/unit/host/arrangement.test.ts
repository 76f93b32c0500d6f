import assert from "node:assert/strict";
import { test } from "node:test";
import { knownEffects, withEffect } from "../../../extension/effects.ts";
import { Layout } from "../../../extension/layout.ts";
import { emptyState, type State } from "../../../extension/state.ts";
import {
  arrange,
  type Arrangement,
  describeArrangement,
  filterMessage,
  orderFact,
  usualArrangement,
} from "../../../extension/views/arrangement.ts";
import { adapter, base, loaded } from "./samples.ts";

const pirate = adapter("pirate", { path: "/w/a/pirate", bytes: 30, modified: 1 });
const butler = adapter("butler", {
  ...{ path: "/w/b/butler", bytes: 10, modified: 3 },
  ...{ peftType: "IA3", method: "IA³", rank: null, basePath: null, baseName: null },
});
const json = adapter("json-2", { path: "/w/a/json-2", bytes: 20, modified: 2 });
const json10 = adapter("json-10", { path: "/c/x/json-10", bytes: 20, source: "cache" });
const state: State = { ...emptyState, bases: [base], adapters: [pirate, butler, json, json10] };

function show(change: Partial<Arrangement>, on: State = state): Record<string, string[]> {
  const groups = arrange(on, { ...usualArrangement, ...change });
  return Object.fromEntries(
    groups.map(({ label, adapters }) => [label, adapters.map(({ name }) => name)]),
  );
}

test("adapters are grouped by base, folder or method", () => {
  assert.deepEqual(show({}), {
    "graft-sample": ["json-2", "json-10", "pirate"],
    "Base not named": ["butler"],
  });
  assert.deepEqual(show({ grouping: "folder" }), {
    a: ["json-2", "pirate"],
    b: ["butler"],
    "Hugging Face cache": ["json-10"],
  });
  assert.deepEqual(show({ grouping: "method" }), {
    "IA³": ["butler"],
    LoRA: ["json-2", "json-10", "pirate"],
  });
});

test("folders of one name are groups of their own", () => {
  const others = ["/x/adapters/one", "/y/adapters/two"].map((path) => adapter(path, { path }));
  const groups = arrange(
    { ...state, adapters: others },
    { ...usualArrangement, grouping: "folder" },
  );
  assert.deepEqual(
    groups.map(({ label, description }) => `${label} in ${description}`),
    ["adapters in /x", "adapters in /y"],
  );
});

test("rows are ordered; what is not known comes last", () => {
  const order = (change: Partial<Arrangement>, on?: State): string[] =>
    Object.values(show({ grouping: "method", ...change }, on)).flat();
  const lora = (on: string[]): string[] => on.filter((name) => name !== "butler");
  assert.deepEqual(lora(order({ order: "size" })), ["pirate", "json-2", "json-10"]);
  assert.deepEqual(lora(order({ order: "date" })), ["json-2", "pirate", "json-10"]);
  const effects: State["effects"] = new Map([
    [json10.path, { kind: "norm", value: 90 }],
    [json.path, { kind: "logits", value: 0.2 }],
  ]);
  const known = { ...state, effects };
  assert.deepEqual(lora(order({ order: "effect" }, known)), ["json-2", "json-10", "pirate"]);
  assert.equal(orderFact(known, json, "effect"), "moves logits by 0.20");
  assert.equal(orderFact(known, json10, "effect"), "‖ΔW‖ 90");
  assert.equal(orderFact(known, pirate, "effect"), "effect not measured");
});

test("the filter wants every word, wherever it stands", () => {
  const on = { ...state, loaded: [{ ...loaded("pirate"), path: pirate.path }] };
  for (const [filter, names] of [
    ["JSON", ["json-2", "json-10"]],
    ["json lora", ["json-2", "json-10"]],
    ["r8 /w/", ["json-2", "pirate"]],
    ["loaded", ["pirate"]],
    ["ia3", ["butler"]],
    ["json butler", []],
  ] as const) {
    assert.deepEqual(Object.values(show({ filter }, on)).flat(), [...names], filter);
  }
  assert.equal(filterMessage(2, 5, "json"), "2 of 5 adapters match “json”.");
  assert.equal(filterMessage(0, 5, "x"), undefined);
});

test("the title says what differs from the usual", () => {
  assert.equal(describeArrangement(usualArrangement), "");
  const text = describeArrangement({ grouping: "folder", order: "date", filter: "x" });
  assert.equal(text, "filter “x” · by folder · newest first");
});

test("grouping and order are remembered, a filter is not", () => {
  const kept = new Map<string, unknown>();
  const memory = {
    get: <T>(key: string): T | undefined => kept.get(key) as T | undefined,
    update: (key: string, value: unknown) => Promise.resolve(void kept.set(key, value)),
  };
  const first = new Layout(memory as never);
  first.change({ grouping: "method", order: "size", filter: "x" });
  const second = new Layout(memory as never);
  assert.deepEqual(second.current, { grouping: "method", order: "size", filter: "" });
  kept.set("graft.adapterArrangement", { grouping: "colour", order: 3 });
  assert.deepEqual(new Layout(memory as never).current, usualArrangement);
});

test("an effect is forgotten with the weights that it was found of", () => {
  const kept = withEffect({}, pirate, { kind: "logits", value: 0.5 });
  assert.deepEqual(knownEffects(kept, [pirate]).get(pirate.path), { kind: "logits", value: 0.5 });
  assert.equal(knownEffects(kept, [{ ...pirate, modified: 9 }]).size, 0);
});
