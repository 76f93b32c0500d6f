import assert from "node:assert/strict";
import { test } from "node:test";
import { config } from "@vscode/l10n";
import { adapterGroups, emptyState, runsIn, type State } from "../../../extension/state.ts";
import { adapterRow, baseRow } from "../../../extension/views/rows.ts";
import { adapter, base, loaded } from "./samples.ts";

const pirate = adapter("pirate");
const state = (change: Partial<State>): State => ({ ...emptyState, bases: [base], ...change });
const fit = (fits: boolean, reason?: string): State["fits"] =>
  new Map([[pirate.path, { path: pirate.path, fits, bound: fits ? 28 : 0, total: 28, reason }]]);

interface Case {
  name: string;
  state: Partial<State>;
  adapter?: typeof pirate;
  expected: { description: string; context: string; icon: string; status: RegExp };
}

const cases: Case[] = [
  {
    name: "active",
    state: { base, loaded: [loaded("pirate")], active: [{ name: "pirate", weight: 0.5 }] },
    expected: {
      description: "LoRA r 8 · 287 KB  ×0.5",
      context: "adapter.active",
      icon: "record",
      status: /active, weight ×0.5/,
    },
  },
  {
    name: "loaded",
    state: { base, loaded: [loaded("pirate")] },
    expected: {
      description: "LoRA r 8 · 287 KB · loaded",
      context: "adapter.loaded",
      icon: "circle-filled",
      status: /loaded, not active/,
    },
  },
  {
    name: "fits",
    state: { base, fits: fit(true) },
    expected: {
      description: "LoRA r 8 · 287 KB",
      context: "adapter.fits",
      icon: "circle-outline",
      status: /fits graft-sample/,
    },
  },
  {
    name: "its own base is loaded, and nobody has looked yet whether it fits",
    state: { base },
    expected: {
      description: "LoRA r 8 · 287 KB",
      context: "adapter.baseNotLoaded",
      icon: "circle-outline",
      status: /graft-sample, is loaded; whether it fits/,
    },
  },
  {
    name: "misfit",
    state: { base, fits: fit(false, "q_proj expects 576 inputs, the adapter has 160.") },
    expected: {
      description: "LoRA r 8 · 287 KB · does not fit",
      context: "adapter.misfit",
      icon: "warning",
      status: /does not fit graft-sample: q_proj expects 576/,
    },
  },
  {
    name: "unsupported",
    state: { base },
    adapter: adapter("butler", { method: "IA³", rank: null, problem: "IA³ is not supported." }),
    expected: {
      description: "IA³ · 287 KB · not supported",
      context: "adapter.unsupported",
      icon: "circle-slash",
      status: /not supported: IA³ is not/,
    },
  },
  {
    name: "unreadable",
    state: { base },
    adapter: adapter("mine", {
      ...{ peftType: "", method: "unknown", rank: null, bytes: 0, parameters: 0 },
      problem: "adapter_config.json: is not JSON.",
    }),
    expected: {
      description: "cannot be read",
      context: "adapter.unreadable",
      icon: "error",
      status: /cannot be read: adapter_config.json: is not JSON/,
    },
  },
  {
    name: "base not loaded",
    state: {},
    expected: {
      description: "LoRA r 8 · 287 KB",
      context: "adapter.baseNotLoaded",
      icon: "circle-outline",
      status: /its base, graft-sample, is not loaded/,
    },
  },
  {
    name: "base missing",
    state: {},
    adapter: adapter("sql", { basePath: null, baseName: "org/model" }),
    expected: {
      description: "LoRA r 8 · 287 KB · base not found",
      context: "adapter.baseMissing",
      icon: "circle-outline",
      status: /its base, org\/model, was not found/,
    },
  },
];

for (const { name, state: change, adapter: subject = pirate, expected } of cases) {
  test(`adapter row: ${name}`, () => {
    const row = adapterRow(state(change), subject);
    assert.equal(row.description, expected.description);
    assert.equal(row.contextValue, expected.context);
    assert.equal(row.icon, expected.icon);
    assert.match(row.status, expected.status);
  });
}

test("adapter facts tell the share of the base once it fits", () => {
  const facts = new Map(adapterRow(state({ base, fits: fit(true) }), pirate).facts);
  assert.equal(facts.get("Parameters"), "71,680 (5.6 % of base)");
  assert.equal(facts.get("Modules bound"), "28 of 28");
});

test("a renamed adapter is listed under its name", () => {
  const captain = { ...loaded("pirate"), name: "captain" };
  assert.equal(adapterRow(state({ base, loaded: [captain] }), pirate).label, "captain");
  assert.equal(adapterRow(state({ base }), pirate).label, "pirate");
});

test("base row: loaded, available, unsupported", () => {
  const loadedRow = baseRow(state({ base }), base);
  assert.equal(loadedRow.description, "llama · 1.3 M · fp32 · 5.1 MB · sample · loaded");
  assert.equal(loadedRow.contextValue, "base.loaded");
  assert.equal(baseRow(state({}), base).contextValue, "base.available");
  const odd = baseRow(state({}), { ...base, unsupported: "mamba is not supported." });
  assert.equal(odd.contextValue, "base.unsupported");
});

test("adapters are grouped by base: the loaded base first, no base last", () => {
  const other = adapter("sql", { basePath: null, baseName: "a/other" });
  const stray = adapter("stray", { basePath: null, baseName: null });
  const adapters = [stray, other, adapter("pirate"), adapter("json")];
  const groups = (change: Partial<State>): [string, string[]][] =>
    adapterGroups(state({ adapters, ...change })).map((g) => [
      g.label,
      g.adapters.map((a) => a.name),
    ]);
  assert.deepEqual(groups({}), [
    ["a/other", ["sql"]],
    ["graft-sample", ["json", "pirate"]],
    ["Base not named", ["stray"]],
  ]);
  assert.equal(groups({ base })[0]?.[0], "graft-sample");
  const own = adapter("sql", { basePath: null, baseName: "z/own" });
  const behind = state({ adapters: [adapter("pirate", { source: "sample" }), own] });
  assert.deepEqual(
    adapterGroups(behind).map(({ label }) => label),
    ["z/own", "graft-sample"],
  );
});

test("a base that runs as it is stored shows its own type, in every language", () => {
  config({ contents: { "as stored": "wie gespeichert" } });
  assert.equal(runsIn({ ...base, precision: "wie gespeichert" }), "fp32");
  config({ contents: {} });
  assert.equal(runsIn({ ...base, precision: "int4" }), "int4");
});
