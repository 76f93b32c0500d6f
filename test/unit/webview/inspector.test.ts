import assert from "node:assert/strict";
import { test } from "node:test";
import type {
  AdapterAnalysis,
  ModuleAnalysis,
} from "../../../extension/protocol/analysisContract.ts";
import type { AdapterReport, GridCell } from "../../../extension/protocol/reportContract.ts";
import { costWords } from "../../../webview/inspector/costWords.ts";
import { layOutGrid, placeOf } from "../../../webview/inspector/grid.ts";
import { facts, heatData, knownMetrics } from "../../../webview/inspector/metrics.ts";
import { plainWords, ranges, whereOf } from "../../../webview/inspector/plainWords.ts";
import { restoreUi, setTable } from "../../../webview/inspector/ui.ts";
import { wholeSpectrum } from "../../../webview/inspector/wholeSpectrum.ts";

const none = { analysis: null, intruders: null };

function cell(row: number, name: string, more: Partial<GridCell> = {}): GridCell {
  return {
    row: `layers.${row}`,
    column: name,
    module: `model.layers.${row}.self_attn.${name}`,
    parameters: 100,
    rank: 8,
    alpha: 16,
    scaling: 2,
    shape: [64, 32],
    dtype: "fp32",
    ...more,
  };
}

function report(
  cells: GridCell[],
  config: Record<string, unknown> = {},
  more: Partial<AdapterReport> = {},
): AdapterReport {
  const first = cells[0];
  return {
    summary: {
      ...{ path: "/a", name: "pirate", peftType: "LORA", method: "LoRA", rank: 8 },
      ...{ parameters: 100, bytes: 400, baseName: "org/tiny", basePath: null },
      ...{ source: "folder", modified: 0 },
    },
    scaling: first?.scaling ?? null,
    alpha: first?.alpha ?? null,
    config: Object.entries(config).map(([field, value]) => ({
      ...{ field, value, changed: true, meaning: "" },
    })),
    rawConfig: "",
    files: [],
    tensors: [],
    grid: {
      rows: [...new Set(cells.map(({ row }) => row))],
      columns: [...new Set(cells.map(({ column }) => column))],
      cells,
    },
    totals: { parameters: 400, tensors: 8, bytes: 1600, modules: cells.length, dtypes: ["fp32"] },
    warnings: [],
    ...more,
  };
}

function measured(own: GridCell, norm: number, values: number[]): ModuleAnalysis {
  const squares = values.map((value) => value * value);
  const all = squares.reduce((sum, each) => sum + each, 0);
  let held = 0;
  const { module, row, column, parameters, rank, alpha, scaling, shape } = own;
  return {
    ...{ module, row, column, kind: "matrix", parameters, rank, alpha, scaling, shape },
    ...{ norm, baseNorm: norm * 10, relative: 0.1, biasNorm: null, notFinite: 0 },
    spectrum: {
      values,
      energy: squares.map((each) => (held += each) / all),
      ...{ count: values.length, effectiveRank: 1.5, stableRank: 1.2, isWhole: true },
    },
  };
}

function analysisOf(modules: ModuleAnalysis[]): AdapterAnalysis {
  return {
    ...{ path: "/a", peftType: "LORA", method: "LoRA", base: null },
    grid: {
      rows: [...new Set(modules.map(({ row }) => row))],
      columns: [...new Set(modules.map(({ column }) => column))],
    },
    modules,
    totals: {
      ...{ modules: 2, measured: 2, parameters: 0, norm: 5, baseNorm: 50, relative: 0.1 },
      ...{ effectiveRank: 1.5, ranks: null, columnShares: [] },
      rowShares: [
        { row: "layers.0", share: 0.36 },
        { row: "layers.1", share: 0.64 },
      ],
    },
    cost: { parts: [], bytes: 0, flops: 0, base: null, extraTokens: 0 },
    ...{ advice: [], warnings: [], seconds: 0, fromCache: false },
  };
}

test("the config is told in words: what, on what, where, how strong", () => {
  const cells = [0, 1].flatMap((row) => [cell(row, "q_proj"), cell(row, "v_proj")]);
  const words = plainWords(report(cells, { task_type: "CAUSAL_LM", lora_dropout: 0.05 }), null);
  assert.deepEqual(words, [
    "pirate is a LoRA adapter, trained on tiny to write text.",
    "It adds an update of low rank to the weights of 4 modules (q_proj, v_proj) in all 2 layers.",
    "Each update has rank 8 and counts 2.0 times (α 16 ÷ r 8).",
    "In training 5\u00a0% of the inputs were dropped; that plays no part now.",
    "In all it has 400 numbers in fp32: 1.6\u00a0KB.",
  ]);
});

test("options that change the meaning are said", () => {
  const words = plainWords(
    report([cell(3, "q_proj", { scaling: 4, rank: 16 })], {
      ...{ use_rslora: true, use_dora: true, bias: "lora_only" },
      ...{ modules_to_save: ["lm_head"], init_lora_weights: "pissa" },
    }),
    null,
  ).join(" ");
  for (const part of ["α 16 ÷ √16", "DoRA", "lora_only", "lm_head", "pissa", "one module"]) {
    assert(words.includes(part), `${part} in: ${words}`);
  }
});

test("a prompt method has no modules, and says what it puts before the prompt", () => {
  const about = report([], { num_virtual_tokens: 20, task_type: "CAUSAL_LM" });
  about.summary.peftType = "PROMPT_TUNING";
  assert.match(plainWords(about, null).join(" "), /puts 20 learned tokens before every prompt/);
  about.summary.peftType = "PREFIX_TUNING";
  assert.match(plainWords(about, null).join(" "), /20 learned keys and values/);
});

test("some layers are named as ranges", () => {
  assert.equal(ranges([7, 0, 1, 2, 5]), "0–2, 5, 7");
  const where = whereOf(report([cell(2, "q_proj"), cell(3, "q_proj")]).grid);
  assert.equal(where, "2 modules (q_proj) in 2 layers (2–3)");
});

test("numbers join the modules of the headers, and the shift is told", () => {
  const cells = [cell(0, "q_proj"), cell(1, "q_proj", { rank: 4 })];
  const modules = cells.map((own, at) => measured(own, at === 0 ? 3 : 4, [2, 1]));
  const analysis = analysisOf(modules);
  const layout = layOutGrid(report(cells), { analysis, intruders: null });
  assert.deepEqual(
    [...knownMetrics(layout)],
    ["parameters", "rank", "norm", "relative", "effectiveRank", "largest"],
  );
  const norm = heatData(layout, "norm");
  assert.equal(norm.total, "5", "the root of 3² + 4²");
  assert.equal(norm.cell(1, 0)?.value, 4);
  assert.equal(heatData(layout, "rank").total, null, "ranks do not add up");
  assert.equal(heatData(layout, "relative").cell(0, 0)?.short, "10\u00a0%");
  const place = layout.places[1]?.[0] ?? assert.fail();
  assert.match(facts(place), /r 4 .* ‖ΔW‖ 4 · Relative 10\u00a0% · Eff\. rank 1\.5 · Largest σ 2/);
  const words = plainWords(report(cells), analysis).at(-1);
  assert.equal(
    words,
    "It moves the weights that it touches by 10\u00a0% of their size; 64\u00a0% of the change lies in layer 1.",
  );
});

test("modules that only the analysis knows have a place, and what fits nowhere is marked", () => {
  const known = cell(0, "q_proj");
  const other = measured(cell(1, "k_proj"), 1, [1]);
  const fit = { ...{ fits: true, path: "/a", bound: 1, total: 2, unexpected: [] } };
  const about = report(
    [known],
    {},
    {
      fit: { ...fit, baseName: "b", baseParameters: 1, share: 1, unbound: [known.module] },
    },
  );
  const layout = layOutGrid(about, {
    analysis: analysisOf([measured(known, 1, [1]), other]),
    intruders: null,
  });
  assert.deepEqual(layout.columns.toSorted(), ["k_proj", "q_proj"]);
  assert(layout.hasUnbound);
  const place = placeOf(layout, other.module) ?? assert.fail();
  assert.equal(layout.places[place.row]?.[place.column]?.modules[0]?.module, other.module);
  assert.equal(placeOf(layout, "nowhere"), null);
  assert.equal(heatData(layout, "parameters").cell(0, 1), null, "left alone");
});

test("where the file names modules otherwise than the model, the model's names count", () => {
  const inFile = cell(0, "w1", { module: "layers.0.experts.3.w1" });
  const inModel = measured(cell(0, "gate_up_proj"), 1, [1]);
  const layout = layOutGrid(report([inFile]), { analysis: analysisOf([inModel]), intruders: null });
  assert.deepEqual(layout.columns, ["gate_up_proj"]);
  assert.deepEqual(layOutGrid(report([inFile]), none).columns, ["w1"]);
});

test("several modules of one place count together", () => {
  const twice = [cell(0, "q", { module: "a", rank: 2 }), cell(0, "q", { module: "b", rank: 8 })];
  const layout = layOutGrid(report(twice), none);
  assert.equal(heatData(layout, "parameters").cell(0, 0)?.value, 200);
  assert.equal(heatData(layout, "rank").cell(0, 0)?.value, 8);
  assert.match(heatData(layout, "rank").cell(0, 0)?.spoken ?? "", /r 2–8/);
});

test("the whole adapter's spectrum is what all modules keep at a rank", () => {
  const one = measured(cell(0, "q_proj"), Math.sqrt(5), [2, 1]);
  const two = measured(cell(1, "q_proj"), 1, [1]);
  const whole = wholeSpectrum(analysisOf([one, two])) ?? assert.fail();
  assert.deepEqual(whole.values, [Math.sqrt(5), 1]);
  // Rank 1 keeps 4 of 5 in one module and all of 1 in the other.
  assert(Math.abs((whole.energy[0] ?? 0) - 5 / 6) < 1e-12);
  assert(Math.abs((whole.energy[1] ?? 0) - 1) < 1e-12);
  assert.equal(wholeSpectrum(analysisOf([])), null);
});

test("costs are told against the base", () => {
  const cost = { parts: [], bytes: 500, flops: 2000, extraTokens: 20 };
  assert.deepEqual(costWords({ ...cost, base: { bytes: 5000, flops: 1e6 } }), [
    "500\u00a0B of memory while it is active, 10\u00a0% of the base's linear layers.",
    "2,000 more operations for a token, 0.2\u00a0% of the base's.",
    "20 more tokens stand before every prompt.",
  ]);
  assert.equal(costWords({ ...cost, base: null, extraTokens: 0 }).length, 2);
});

test("what an earlier page saved is parsed, not believed", () => {
  const ui = restoreUi({ path: 3, metric: "beauty", tables: ["heat", 4], scroll: -1, module: "m" });
  assert.deepEqual(
    [ui.path, ui.metric, ui.tables, ui.scroll, ui.module],
    [null, null, ["heat"], 0, "m"],
  );
  setTable(ui, "heat", false);
  setTable(ui, "cost", true);
  assert.deepEqual(ui.tables, ["cost"]);
  assert.equal(restoreUi(null).metric, null);
});
