import assert from "node:assert/strict";
import { test } from "node:test";
import {
  combinationProblem,
  combinationWays,
  freeName,
  rankAfter,
  readShare,
  readWeights,
  readWhole,
} from "../../../extension/views/combination.ts";
import { conversionsOf, describeResult } from "../../../extension/views/conversion.ts";
import { type FolderEntry, planDeletion } from "../../../extension/views/deletion.ts";
import { describeEffect } from "../../../extension/views/effect.ts";
import { adapter } from "./samples.ts";

const lora = (name: string, rank: number) => adapter(name, { rank });
const ia3 = adapter("butler", { peftType: "IA3", method: "IA³", rank: null });

test("adapters of one method combine; of several ranks in fewer ways", () => {
  assert.equal(combinationProblem([lora("a", 8), lora("b", 4)]), undefined);
  assert.match(combinationProblem([lora("a", 8), ia3]) ?? "", /a is LoRA and butler is IA³/);
  const loha = adapter("c", { peftType: "LOHA", method: "LoHa" });
  assert.match(combinationProblem([loha]) ?? "", /LoHa adapters cannot be combined/);
  const types = (...ranks: number[]) =>
    combinationWays(ranks.map((rank) => lora(`r${rank}`, rank))).map(({ type }) => type);
  assert.equal(types(8, 8).length, 11);
  assert.ok(types(8, 4).every((type) => type === "cat" || type.endsWith("svd")));
  assert.deepEqual(types(8), ["linear"]);
  assert.deepEqual(
    combinationWays([ia3, ia3]).map(({ type }) => type),
    ["linear"],
  );
  assert.equal(rankAfter("cat", [lora("a", 8), lora("b", 4)]), 12);
});

test("what is typed is read, or answered with what is wrong", () => {
  assert.deepEqual(readWeights("1, -0.5", 2), [1, -0.5]);
  assert.equal(readWeights("1 x", 2), '"x" is not a number.');
  assert.equal(readWeights("1", 2), "1 number for 2 adapters.");
  assert.equal(readWhole("8", 1), 8);
  assert.equal(readWhole("0", 1), "A whole number of at least 1.");
  assert.equal(readShare("0.5"), 0.5);
  assert.equal(typeof readShare("0"), "string");
  assert.equal(freeName("a/b", ["a-b"]), "a-b-2");
});

const file = (name: string): FolderEntry => ({ name, isFolder: false, bytes: 100 });
const own = ["adapter_config.json", "adapter_model.safetensors", "README.md"].map(file);
const plan = (entries: FolderEntry[], change: object = {}, path = "/w/pirate") =>
  planDeletion(path, entries, { source: "workspace", isRoot: false, ...change });

test("a folder goes whole only when it is the adapter's alone", () => {
  assert.deepEqual(plan(own), { kind: "folder", bytes: 300, names: own.map(({ name }) => name) });
  const files = ["adapter_model.safetensors", "adapter_config.json"];
  for (const [entries, change] of [
    [[...own, { name: "other", isFolder: true, bytes: 0 }], {}],
    [[...own, file("optimizer.pt")], {}],
    [own, { isRoot: true }],
  ] as const) {
    const made = plan([...entries], change);
    assert.ok(made.kind === "files");
    assert.deepEqual([made.names, made.bytes], [files, 200]);
    assert.ok(made.kept.includes("README.md"));
  }
});

test("the sample, the cache and what is gone are not deleted, with the reason", () => {
  const reason = (made: ReturnType<typeof plan>) => (made.kind === "refused" ? made.reason : "");
  assert.match(reason(plan(own, { source: "sample" })), /sample/);
  assert.match(reason(plan(own, { source: "cache" })), /Hugging Face cache/);
  const cached = "/c/models--a--b/snapshots/123";
  assert.match(reason(plan(own, { source: "folder" }, cached)), /Hugging Face cache/);
  assert.match(reason(plan([file("x.txt")])), /gone/);
});

test("each method is offered what it can become, and the result is told", () => {
  const kinds = (type: string) => conversionsOf(type).map(({ kind }) => kind);
  assert.deepEqual(kinds("LORA"), ["resize", "reduceIntruders", "onnxAdapter", "gguf", "lora"]);
  assert.deepEqual([kinds("LOHA"), kinds("PROMPT_TUNING")], [["lora"], []]);
  const files = (config: object) =>
    conversionsOf("LORA", { ...config }).flatMap(({ extension }) => extension ?? []);
  assert.deepEqual(files({ use_dora: false, modules_to_save: null }), ["onnx_adapter", "gguf"]);
  assert.deepEqual([files({ use_dora: true }), files({ modules_to_save: ["lm_head"] })], [[], []]);
  assert.deepEqual(files({ alora_invocation_tokens: [1] }), ["gguf"]);
  const result = {
    ...{ target: "/t", files: [], modules: 28, ranks: [4, 8] as [number, number] },
    ...{ lost: 0.004, worst: [{ module: "q_proj", lost: 0.012 }], warnings: [] },
  };
  const said = describeResult(result, "resize");
  assert.match(said, /28 modules of rank 4 to 8, 0\.4 % of the update is lost, most in q_proj/);
});

test("an adapter without effect is said to change nothing", () => {
  const effect = {
    ...{ probes: 4, positions: 40, largest: 0, mean: 0, divergence: { mean: 0, largest: 0 } },
    ...{ changedTop: 0, changedAnswers: 0, changesNothing: true },
  };
  assert.match(describeEffect("mute", effect), /^mute changes nothing/);
});
