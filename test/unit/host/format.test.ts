import assert from "node:assert/strict";
import { test } from "node:test";
import {
  formatBytes,
  formatCount,
  formatMethod,
  formatModel,
  formatProgress,
  formatRate,
  formatSeconds,
  formatShare,
  formatTitle,
  formatWeight,
  withGaps,
} from "../../../extension/views/format.ts";
import { finishLine } from "../../../extension/views/finish.ts";

function table<I>(name: string, format: (input: I) => string, rows: [I, string][]): void {
  test(name, () => {
    for (const [input, expected] of rows) assert.equal(format(input), expected);
  });
}

table("formatCount", formatCount, [
  [0, "0"],
  [512, "512"],
  [71_680, "72 K"],
  [999_499, "999 K"],
  [999_999, "1 M"],
  [1_271_200, "1.3 M"],
  [134_515_008, "135 M"],
  [7_241_732_096, "7.2 B"],
]);

table("formatBytes", formatBytes, [
  [0, "0 B"],
  [812, "812 B"],
  [12_040, "12 KB"],
  [287_104, "287 KB"],
  [2_412_345, "2.4 MB"],
  [999_999, "1 MB"],
  [538_000_000, "538 MB"],
  [5_100_000_000, "5.1 GB"],
]);

table("formatShare", formatShare, [
  [0, "0 %"],
  [0.0564, "5.6 %"],
  [0.0002, "0.02 %"],
  [0.00001, "< 0.01 %"],
  [1, "100.0 %"],
]);

table("formatRate", formatRate, [
  [41.3, "41 tok/s"],
  [3.14, "3.1 tok/s"],
]);

table("formatSeconds", formatSeconds, [
  [0.0001, "1 ms"],
  [0.0312, "31 ms"],
  [2.34, "2.3 s"],
  [130, "2 min"],
]);

table("formatWeight", formatWeight, [
  [1, "×1.0"],
  [0.5, "×0.5"],
  [0.25, "×0.25"],
  [-1.333, "×-1.33"],
]);

table("formatMethod", formatMethod, [
  [{ method: "LoRA", rank: 8 }, "LoRA r 8"],
  [{ method: "IA³", rank: null }, "IA³"],
]);

table("formatProgress", formatProgress, [
  [{ step: "Building the graph" }, "Building the graph"],
  [{ step: "Attaching", done: 12, total: 28, unit: "items" }, "Attaching 12 of 28"],
  [
    { step: "Reading weights", done: 312e6, total: 538e6, unit: "bytes" },
    "Reading weights 312 of 538 MB",
  ],
  [
    { step: "Reading weights", done: 312e6, total: 5.38e9, unit: "bytes" },
    "Reading weights 0.3 of 5.4 GB",
  ],
  [{ step: "Reading weights", done: 500, unit: "bytes" }, "Reading weights 500 B"],
]);

test("formatModel names the base and who takes part", () => {
  assert.equal(formatModel("base", []), "base");
  assert.equal(formatModel("base", [{ name: "pirate", weight: 1 }]), "base + pirate");
  const mix = [
    { name: "pirate", weight: 0.5 },
    { name: "json", weight: 1 },
  ];
  assert.equal(formatModel("base", mix), "base + pirate ×0.5 + json ×1.0");
});

test("formatTitle is one bounded line", () => {
  assert.equal(formatTitle("  a\n b\t c "), "a b c");
  assert.equal(formatTitle("x".repeat(70)).length, 60);
});

test("finishLine begins with how it ended, unless that was by itself", () => {
  const result = { text: "", tokens: 12, tokensPerSecond: 88, promptTokens: 1, seconds: 1 };
  const rest = { seed: 1, adapters: [] };
  const line = (finish: "stop" | "cancelled"): string => finishLine({ ...result, ...rest, finish });
  assert.equal(line("stop"), "12 tokens · 88 tok/s");
  assert.equal(line("cancelled"), "stopped · 12 tokens · 88 tok/s");
});

table("withGaps", withGaps, [
  ["Run", "Run"],
  ["$(play) Run with base", "$(play)\u00a0Run with base"],
  ["$(play) Run · $(pass) 1 of 2 passed", "$(play)\u00a0Run ·\u00a0$(pass)\u00a01 of 2 passed"],
]);
