import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { after, test, type TestContext } from "node:test";
import type { ErrorCode } from "../../../extension/core/base/errors.ts";
import { loadBaseModel } from "../../../extension/core/baseModel.ts";
import { PeftModel } from "../../../extension/core/peftModel.ts";
import type { ActiveAdapter } from "../../../extension/core/loadedAdapters.ts";
import {
  type Factors,
  logitsOf,
  makeFactors,
  tinyLlama,
  writeLora,
  writeMerged,
} from "./peft/tinyLlama.ts";
import { difference, failure, fixtures, temporaryFolder } from "./support.ts";

const base = await loadBaseModel(tinyLlama);
after(() => base.session.dispose());

const [query, value, up] = ["self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj"].map(
  (name) => `model.layers.0.${name}`,
) as [string, string, string];

/** Factors of rank 2 for a module that need not be in the base. */
function strangers(module: string, inputs: number, out: number): Map<string, Factors> {
  const a = new Float32Array(2 * inputs).fill(1);
  return new Map([[module, { rank: 2, a, b: new Float32Array(out * 2) }]]);
}

interface Misfit {
  what: string;
  factors: Map<string, Factors>;
  config?: object;
  code: ErrorCode;
  says: string[];
  /** What the loaded adapter warns of when that was agreed to; undefined when it cannot be. */
  partial?: string;
}

const misfits: Misfit[] = [
  {
    what: "a targeted module without tensors",
    factors: makeFactors({ [query]: 2 }),
    config: { target_modules: [query, value] },
    code: "partial-bind",
    says: ["1 of 2 modules bound", value],
    partial: `without tensors stay as in the base: ${value}`,
  },
  {
    what: "tensors of a module that is not targeted",
    factors: makeFactors({ [query]: 2, [up]: 2 }),
    config: { target_modules: ["q_proj"], layers_to_transform: 0 },
    code: "partial-bind",
    says: ["1 of 2 modules bound", `base_model.model.${up}.lora_A.weight`],
    partial: "are left out",
  },
  {
    what: "tensors of a layer that the base does not have",
    factors: new Map([
      ...makeFactors({ [query]: 2 }),
      ...strangers("model.layers.9.q_proj", 64, 64),
    ]),
    config: { target_modules: ["q_proj"], layers_to_transform: [0, 9] },
    code: "partial-bind",
    says: ["1 of 2 modules bound", "layers.9"],
    partial: "are left out",
  },
  {
    what: "no module in common",
    factors: strangers("transformer.h.0.attn.c_attn", 4, 4),
    config: { target_modules: ["c_attn"], base_model_name_or_path: "org/gpt" },
    code: "misfit",
    says: ["0 of 1 modules bound", "It was trained on org/gpt"],
  },
  {
    what: "a wider base",
    factors: strangers(query, 80, 64),
    config: { base_model_name_or_path: "org/wide" },
    code: "misfit",
    says: [`base_model.model.${query}.lora_A.weight" is [2, 80]`, query, "[2, 64]", "org/wide"],
  },
  {
    what: "another rank than its config says",
    factors: makeFactors({ [query]: 2 }),
    config: { r: 4 },
    code: "misfit",
    says: [`${query}.lora_A.weight" is [2, 64]`, "[4, 64]"],
  },
  {
    what: "a method that nobody runs",
    factors: makeFactors({ [query]: 2 }),
    config: { peft_type: "NEXTLORA" },
    code: "unsupported",
    says: ['"NEXTLORA"'],
  },
];

for (const { what, factors, config, code, says, partial } of misfits) {
  test(`an adapter with ${what} is refused, and not loaded`, async (t) => {
    const folder = await writeLora(await temporaryFolder(t), factors, config);
    const model = new PeftModel(base);
    await assert.rejects(model.loadAdapter(folder), failure(code, folder, ...says));
    assert.deepEqual(model.adapters, []);
    const agreed = model.loadAdapter(folder, { allowPartial: true });
    if (partial === undefined) return assert.rejects(agreed, failure(code));
    const { warnings, report } = await agreed;
    assert(warnings.join(" ").includes(partial), warnings.join(" "));
    assert.deepEqual(report.bound, [query]);
    const active = [{ name: "default", weight: 1 }];
    assert(difference(await logitsOf(model, active), await logitsOf(model)) > 1e-3);
  });
}

/** A model with adapters "a" and "b", and where their folders are. */
async function twoAdapters(t: TestContext): Promise<{ model: PeftModel; folder: string }> {
  const folder = await temporaryFolder(t);
  const model = new PeftModel(base);
  for (const [i, name] of ["a", "b"].entries()) {
    const place = path.join(folder, name);
    await writeLora(place, makeFactors({ [query]: 2, [up]: 2 }, i + 1));
    await model.loadAdapter(place, { adapterName: name });
  }
  return { model, folder };
}

const refused: [what: string, adapters: readonly (string | ActiveAdapter)[], says: string[]][] = [
  ["an unknown name", ["c"], ['"c"', "Loaded: a, b."]],
  ["a name twice", ["a", "a"], ['"a" is named twice']],
  ["a weight that is no number", [{ name: "a", weight: NaN }], ['The weight of "a" is NaN']],
  ["an endless weight", ["b", { name: "a", weight: Infinity }], ['"a" is Infinity']],
];

for (const [what, adapters, says] of refused) {
  test(`${what} is refused, and what was active stays`, async (t) => {
    const { model } = await twoAdapters(t);
    model.setAdapter("b");
    assert.throws(() => model.setAdapter(adapters), failure("bad-request", ...says));
    assert.deepEqual(model.activeAdapters, [{ name: "b", weight: 1 }]);
  });
}

test("active adapters: none at first, one, several with weights, none again", async (t) => {
  const { model } = await twoAdapters(t);
  assert.deepEqual(model.activeAdapters, []);
  model.setAdapter("a");
  assert.deepEqual(model.activeAdapters, [{ name: "a", weight: 1 }]);
  model.setAdapter([{ name: "b", weight: 0.5 }, "a"]);
  const both = [
    { name: "b", weight: 0.5 },
    { name: "a", weight: 1 },
  ];
  assert.deepEqual(model.activeAdapters, both);
  model.disableAdapter();
  assert.deepEqual(model.activeAdapters, []);
  assert.equal(model.adapters.length, 2);
});

test("deleting an adapter keeps the others, active or not", async (t) => {
  const { model } = await twoAdapters(t);
  const b = [{ name: "b", weight: 0.5 }];
  const before = await logitsOf(model, b);
  model.setAdapter(["a", ...b]);
  model.deleteAdapter("a");
  assert.equal(model.adapters.map(({ name }) => name).join(), "b");
  assert.deepEqual(model.activeAdapters, b);
  assert.deepEqual(await logitsOf(model, b), before);
  const gone = failure("bad-request", '"a"', "Loaded: b.");
  assert.throws(() => model.deleteAdapter("a"), gone);
  assert.throws(() => model.setAdapter("a"), gone);
  model.deleteAdapter("b");
  assert.throws(() => model.setAdapter("b"), failure("bad-request", "Loaded: none."));
});

test("a name is taken once, also by two loads at the same time", async (t) => {
  const { model, folder } = await twoAdapters(t);
  const load = (adapterName: string): Promise<unknown> =>
    model.loadAdapter(path.join(folder, "a"), { adapterName });
  const taken = failure("bad-request", "already loaded");
  await assert.rejects(load("b"), taken);
  const [first, second] = await Promise.allSettled([load("c"), load("c")]);
  assert.deepEqual([first.status, second.status].sort(), ["fulfilled", "rejected"]);
  assert.equal(model.adapters.length, 3);
  model.deleteAdapter("c");
  await load("c");
});

test("fromPretrained loads as PEFT names it and makes it active; subfolders are found", async (t) => {
  const { folder } = await twoAdapters(t);
  const model = await PeftModel.fromPretrained(base, folder, { subfolder: "a" });
  assert.deepEqual(model.activeAdapters, [{ name: "default", weight: 1 }]);
  const [{ report, weights, checkpoint } = assert.fail()] = model.adapters;
  assert.equal(checkpoint.dir, path.join(folder, "a"));
  assert.deepEqual(report, { total: 2, bound: [query, up], unbound: [], unexpected: [] });
  assert.equal(weights.parameters, 2 * (64 + 64) + 2 * (64 + 96));
});

test("a cancelled load loads nothing", async (t) => {
  const { model, folder } = await twoAdapters(t);
  const options = { adapterName: "c", signal: AbortSignal.abort() };
  await assert.rejects(model.loadAdapter(path.join(folder, "a"), options), (thrown: Error) =>
    ["AbortError", "GraftError"].includes(thrown.name),
  );
  assert.equal(model.adapters.length, 2);
});

test("config fields that Graft does not know are named", async (t) => {
  const { model, folder } = await twoAdapters(t);
  const file = path.join(folder, "a/adapter_config.json");
  const config = JSON.parse(await readFile(file, "utf8")) as object;
  await writeFile(file, JSON.stringify({ ...config, lora_moon: 1, lora_sun: 2 }));
  const { warnings } = await model.loadAdapter(path.join(folder, "a"), { adapterName: "c" });
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? "", /does not know: lora_moon, lora_sun\./);
});

test("a base without tokenizer answers nothing, and says why", async (t) => {
  const mute = new PeftModel(await loadBaseModel(await writeMerged(await temporaryFolder(t), [])));
  t.after(() => mute.dispose());
  const answer = mute.answer({ kind: "text", text: "Hi" });
  await assert.rejects(answer, failure("unsupported", "tokenizer.json"));
});

test("a hotswap keeps name, place and weight; the old one stays when it fails", async (t) => {
  const { model, folder } = await twoAdapters(t);
  const strange = strangers("transformer.h.0.attn.c_attn", 4, 4);
  const config = { target_modules: ["c_attn"] };
  const misfitting = await writeLora(path.join(folder, "strange"), strange, config);
  const active = [
    { name: "b", weight: 0.5 },
    { name: "a", weight: 1 },
  ];
  model.setAdapter(active);
  const before = await logitsOf(model, active);
  const a = await logitsOf(model, [{ name: "a", weight: 1 }]);
  await assert.rejects(model.hotswapAdapter(misfitting, "b"), failure("misfit"));
  await assert.rejects(model.hotswapAdapter(folder, "c"), failure("bad-request", '"c"'));
  const signal = AbortSignal.abort();
  await assert.rejects(model.hotswapAdapter(path.join(folder, "a"), "b", { signal }));
  assert.deepEqual(await logitsOf(model, active), before);
  const swapped = await model.hotswapAdapter(path.join(folder, "a"), "b");
  assert.equal(swapped.name, "b");
  assert.deepEqual(
    [model.adapters.map(({ name }) => name).join(), model.activeAdapters],
    ["a,b", active],
  );
  assert.deepEqual(await logitsOf(model, [{ name: "b", weight: 1 }]), a);
});

test("two adapters that replace the same parameter are not active together", async () => {
  const model = new PeftModel(base);
  for (const method of ["lora_modules_to_save", "ln_tuning", "lora_trainable_tokens_list", "osf"]) {
    const folder = path.join(fixtures, "adapters/llama", method);
    for (const name of [`${method} 1`, `${method} 2`]) {
      await model.loadAdapter(folder, { adapterName: name });
    }
    const both = [`${method} 1`, `${method} 2`];
    const named = failure("bad-request", ...both.map((name) => `"${name}"`), "both replace");
    assert.throws(() => model.setAdapter(both), named);
    model.setAdapter([
      { name: both[0] ?? "", weight: 1 },
      { name: both[1] ?? "", weight: 0 },
    ]);
  }
  model.setAdapter(["lora_modules_to_save 1", "ln_tuning 1"]);
  assert.equal(model.activeAdapters.length, 2);
});
