import assert from "node:assert/strict";
import { test } from "node:test";
import {
  adapterNameIn,
  renameTensors,
  type TensorNaming,
} from "../../../../extension/core/checkpoint/tensorNames.ts";
import { failure } from "../support.ts";

const prefix = "base_model.model.model.";

function rename(names: string[], naming: TensorNaming): { names: string[]; notes: string[] } {
  const tensors = names.map((name) => ({
    name,
    dtype: "F32" as const,
    shape: [1],
    offset: 0,
    byteLength: 4,
  }));
  const renamed = renameTensors(tensors, naming, "file");
  return { names: renamed.tensors.map(({ name }) => name), notes: renamed.notes };
}

const renamed: [what: string, name: string, naming: TensorNaming, result: string][] = [
  ["PEFT's own names stay", "layers.0.q.lora_A.weight", {}, "layers.0.q.lora_A.weight"],
  ["a left name goes", "layers.0.q.lora_A.default.weight", {}, "layers.0.q.lora_A.weight"],
  ["also of a parameter", "layers.0.q.ia3_l.default", {}, "layers.0.q.ia3_l"],
  ["a magnitude", "q.lora_magnitude_vector.default.weight", {}, "q.lora_magnitude_vector"],
  ["another name stays", "q.lora_A.foo.weight", {}, "q.lora_A.foo.weight"],
  ["unless it is its own", "q.lora_A.foo.weight", { adapterName: "foo" }, "q.lora_A.weight"],
  ["before what follows", "q.glora_A.default.Xd", {}, "q.glora_A.Xd"],
  ["before numbers", "q.adamss_A.default.0", {}, "q.adamss_A.0"],
  [
    "rows of tokens are left to PEFT's way",
    "embed.token_adapter.trainable_tokens_delta.default",
    {},
    "embed.token_adapter.trainable_tokens_delta.default",
  ],
  ["numbers are no names", "q.adamss_A.0", { adapterName: "0" }, "q.adamss_A.0"],
  ["a module is no name", "foo.lora_A.weight", { adapterName: "foo" }, "foo.lora_A.weight"],
];

for (const [what, name, naming, result] of renamed) {
  test(`tensor names: ${what}`, () => {
    assert.deepEqual(rename([prefix + name], naming).names, [prefix + result]);
  });
}

const mapped: [name: string, keyMapping: Record<string, string>, result: string][] = [
  ["base_model.model.a.b", { "^a": "c" }, "base_model.model.c.b"],
  ["base_model.model.a.b", { x: "y", "^a": "c", "^c": "d" }, "base_model.model.c.b"],
  ["base_model.vera_A", { vera: "wera" }, "base_model.wera_A"],
  ["a.b", { "^": "base_model.model." }, "base_model.model.a.b"],
];

for (const [name, keyMapping, result] of mapped) {
  test(`key mapping ${JSON.stringify(keyMapping)} makes ${name} ${result}`, () => {
    assert.deepEqual(rename([name], { keyMapping }).names, [result]);
  });
}

test("a mapped name without PEFT's prefix is refused, as in PEFT", () => {
  const refused = failure("bad-request", '"a.b"', "base_model.");
  assert.throws(() => rename(["a.b"], { keyMapping: { a: "c" } }), refused);
});

test("two tensors of one name are refused", () => {
  const names = ["q.lora_A.weight", "q.lora_A.default.weight"].map((name) => prefix + name);
  assert.throws(() => rename(names, {}), failure("bad-file", ...names));
});

test("that PEFT would want the name default is said", () => {
  const name = `${prefix}q.lora_A.default.weight`;
  assert.deepEqual(rename([name], {}).notes, []);
  assert.match(
    rename([name], { adapterName: "foo" }).notes.join(),
    /only.*"default", not as "foo"/,
  );
});

test("an adapter name is told from what follows a parameter", () => {
  assert.equal(adapterNameIn("m.q.lora_A.pirate.weight")?.adapterName, "pirate");
  assert.equal(adapterNameIn("m.q.lora_A.weight"), null);
  assert.equal(adapterNameIn("m.q.weight"), null);
});
