import assert from "node:assert/strict";
import { test } from "node:test";
import type {
  AdapterComparison,
  ModuleComparison,
} from "../../../extension/protocol/analysisContract.ts";
import type { AdapterReport } from "../../../extension/protocol/reportContract.ts";
import type { CompareState } from "../../../extension/protocol/picturesContract.ts";
import { fieldPairs } from "../../../webview/compare/configs.ts";
import {
  cosineText,
  knownPairMetrics,
  layOutPair,
  pairHeat,
} from "../../../webview/compare/modules.ts";
import { restoreUi } from "../../../webview/compare/page.ts";
import { mergeWords, pairWords } from "../../../webview/compare/words.ts";

function side(
  name: string,
  config: Record<string, unknown>,
  modules: string[],
): CompareState["sides"][0] {
  const cells = modules.map((column) => ({
    ...{ row: "layers.0", column, module: `layers.0.${column}`, parameters: 10, rank: 4 },
    ...{ alpha: 8, scaling: 2, shape: null, dtype: "fp32" },
  }));
  const report = {
    summary: { name, method: "LoRA", baseName: "org/base" },
    config: Object.entries(config).map(([field, value]) => ({
      ...{ field, value, changed: false, meaning: "m" },
    })),
    grid: { rows: ["layers.0"], columns: modules, cells },
  } as unknown as AdapterReport;
  return { path: `/${name}`, name, report, problem: null };
}

const host = { engine: "ready", base: null, adapters: [], active: [] } as const;
const state: CompareState = {
  sides: [
    side("a", { r: 8, target_modules: ["q", "v"], use_dora: false }, ["q", "v"]),
    side("b", { r: 16, target_modules: ["v", "q"], ia3: 1 }, ["v", "k"]),
  ],
  host: { ...host, adapters: [], active: [] },
};

test("configs differ where values do; the order of names says nothing", () => {
  const pairs = new Map(fieldPairs(state).map((pair) => [pair.field, pair]));
  assert.deepEqual(
    [pairs.get("r")?.a, pairs.get("r")?.b, pairs.get("r")?.differs],
    ["8", "16", true],
  );
  assert.equal(pairs.get("target_modules")?.differs, false);
  assert.deepEqual([pairs.get("ia3")?.a, pairs.get("ia3")?.differs], [null, true]);
  assert.equal(pairs.get("use_dora")?.b, null);
});

test("before numbers are there the headers tell which modules are shared", () => {
  const layout = layOutPair(state, null);
  assert.deepEqual(
    layout.modules.map(({ column, changedBy }) => `${column} ${changedBy}`),
    ["q a", "v both", "k b"],
  );
  assert.deepEqual([...knownPairMetrics(layout)], ["rankA", "rankB"]);
  assert.equal(pairHeat(layout, "rankA").cell(0, 0)?.isMarked, true);
  assert.match(pairWords(state, layout, null).join(" "), /share 1 module; A alone changes 1 more/);
});

function numbers(column: string, cosine: number | null): ModuleComparison {
  return {
    ...{ module: `layers.0.${column}`, row: "layers.0", column, changedBy: "both" },
    ...{ normA: 2, normB: 4, cosine, overlap: null, merge: null },
  };
}

function comparison(cosine: number): AdapterComparison {
  return {
    ...{ base: null, config: [], advice: [], warnings: [], seconds: 0, fromCache: false },
    grid: { rows: ["layers.0"], columns: ["q", "v"] },
    modules: [numbers("q", cosine), numbers("v", null)],
    totals: {
      ...{ modules: 2, both: 2, onlyA: 0, onlyB: 0, normA: 2, normB: 4, cosine, kept: 0.7 },
      ...{ signConflicts: 0.5, trimmedConflicts: null, overlap: null },
    },
  } as unknown as AdapterComparison;
}

test("numbers say how the two meet, and which is stronger", () => {
  const check = (cosine: number, meets: RegExp, merges: RegExp): void => {
    const made = comparison(cosine);
    const words = pairWords(state, layOutPair(state, made), made).join(" ");
    assert.match(words, meets);
    assert.match(words, /B changes them 2.0 times as much/);
    assert.match(mergeWords(made).join(" "), merges);
  };
  check(0.95, /the same way \(cosine 0\.95\)/, /strengthen/);
  check(0.01, /unrelated/, /hardly meet/);
  check(-0.5, /against each other \(cosine −0\.50\)/, /cancel/);
});

test("cosines are shaded around zero; what is unknown is no number", () => {
  const made = comparison(-0.2);
  const heat = pairHeat(layOutPair(state, made), "cosine");
  assert.equal(heat.scale.kind, "diverging");
  assert.equal(heat.scale.shade(-0.2), -0.8, "the scale ends at 0.25");
  assert.equal(heat.cell(0, 0)?.short, "−0.20");
  assert.equal(heat.cell(0, 1)?.value, null);
  assert.equal(cosineText(-0.001), "0.00");
});

test("what an earlier page saved is parsed, not believed", () => {
  assert.deepEqual(restoreUi({ pair: ["/a", "/b"], metric: "cosine" }).pair, ["/a", "/b"]);
  const odd = restoreUi({ pair: ["/a", 3], metric: "x", tables: "heat", onlyDifferences: 0 });
  assert.deepEqual([odd.pair, odd.metric, odd.tables, odd.onlyDifferences], [null, null, [], true]);
});
