import assert from "node:assert/strict";
import { test } from "node:test";
import { RecentLog } from "../../../extension/recentLog.ts";
import { emptyState, type State } from "../../../extension/state.ts";
import { exportFacts } from "../../../extension/views/exportFacts.ts";
import { issueReport } from "../../../extension/views/issueReport.ts";
import { statusTooltip, tooltipCommands } from "../../../extension/views/statusTooltip.ts";
import { adapter, base, loaded } from "./samples.ts";

const full: State = {
  ...emptyState,
  engine: "ready",
  discovery: "done",
  bases: [base],
  adapters: [adapter("pirate"), adapter("json")],
  base,
  loaded: [loaded("pirate"), loaded("json")],
  active: [{ name: "pirate", weight: 0.5 }],
  lastAnswer: { tokens: 12, tokensPerSecond: 41.2 },
};

test("the tooltip tells base, precision, memory, weights and speed", () => {
  const text = statusTooltip(full, "graft\\-sample").replaceAll("\\", "");
  for (const part of ["fp32", "about 90 MB", "active ×0.5", "loaded, not active", "41 tok/s"]) {
    assert(text.includes(part), part);
  }
  assert.match(text, /28 of 28 modules bound/);
});

test("a name in the tooltip is never Markdown, an icon or a link", () => {
  const name = "[x](command:graft.evil) $(flame) <img src=x> | `a`";
  const evil = { ...base, name };
  const text = statusTooltip({ ...full, base: evil, loaded: [{ ...loaded("a"), name }] }, name);
  assert(!text.includes("[x](command"));
  assert(!/(?<!\\)\$\(flame/.test(text));
  assert(!text.includes("<img"));
});

test("every link of the tooltip is one that it may run", () => {
  const states = [full, emptyState, { ...emptyState, engine: "failed" as const }];
  for (const state of states) {
    const links = [...statusTooltip(state, "x").matchAll(/\(command:([\w.]+)\)/g)];
    assert(links.length > 0);
    for (const [, command] of links) assert(tooltipCommands.includes(command ?? ""), command);
  }
});

test("a report tells versions and methods, no paths, names or tokens", () => {
  const log = [
    "12:00:00 [info] pirate: LoRA r 8",
    "12:00:01 [error] /adapters/pirate/adapter_config.json: broken, in /home/ann/secret/project",
    "12:00:02 [warn] token hf_abcdefghijklmnop was refused by C:\\Users\\ann\\x",
  ];
  const versions = [["Graft", "0.1.0"] as const];
  const folders = [["/home/ann", "~"] as const];
  const text = issueReport({ versions, state: full, log, folders });
  assert.match(text, /\| Graft \| 0\.1\.0 \|/);
  assert.match(text, /llama, LlamaForCausalLM, fp32, as stored, CPU/);
  assert.match(text, /LoRA r 8 \(28\/28, ×0\.5\)/);
  for (const secret of ["pirate", "json:", "graft-sample", "ann", "secret", "hf_abc", "Users"]) {
    assert(!text.includes(secret), secret);
  }
  assert.match(text, /Nothing was sent/);
});

test("the log's last lines are kept as its level has them", () => {
  const written: string[] = [];
  const write = (text: string): void => void written.push(text);
  const channel = Object.freeze({
    logLevel: 3,
    info: write,
    debug: write,
    error: write,
    name: "G",
  });
  const recent = new RecentLog(channel as never);
  recent.channel.debug("a detail");
  recent.channel.info("two\nlines");
  recent.channel.error(new Error("bad"));
  assert.equal(recent.channel.name, "G");
  assert.equal(written.length, 3);
  assert.deepEqual(
    recent.lines().map((line) => line.replace(/^\S+ /, "")),
    ["[info] two ⏎ lines", "[error] bad"],
  );
  for (let i = 0; i < 300; i++) recent.channel.info(String(i));
  assert.equal(recent.lines().length, 200);
});

test("what was found in an ONNX export is told, and what was not", () => {
  assert.deepEqual(exportFacts(undefined), []);
  const report = {
    ...{ variant: "model_q4", variants: ["model", "model_q4"], producer: "optimum" },
    ...{ mapped: 27, total: 28, missing: 1, warnings: ["Names are lost."] },
    examples: [{ path: "layers.3.mlp.down_proj", reason: "no such operator" }],
  };
  assert.deepEqual(exportFacts(report), [
    ["ONNX export", "model_q4, written by optimum, beside it model"],
    ["Layers", "27 of 28 found: adapters can change these"],
    ["Not found", "layers.3.mlp.down_proj (no such operator)"],
    ["Warnings", "Names are lost."],
  ]);
});
