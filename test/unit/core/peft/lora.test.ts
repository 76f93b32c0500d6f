import assert from "node:assert/strict";
import * as path from "node:path";
import { after, test } from "node:test";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { openAdapterCheckpoint } from "../../../../extension/core/checkpoint/adapterCheckpoint.ts";
import { buildModel } from "../../../../extension/core/models/index.ts";
import { methodOf } from "../../../../extension/core/peft/index.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import type { ActiveAdapter } from "../../../../extension/core/loadedAdapters.ts";
import { adapterInputs } from "../../../../extension/core/session/adapterInputs.ts";
import { decodingSession, openSession } from "../../../../extension/core/session/openSession.ts";
import { difference, temporaryFolder } from "../support.ts";
import { logitsOf, makeFactors, tinyLlama, writeLora, writeMerged } from "./tinyLlama.ts";

const layer = (index: number, name: string): string => `model.layers.${index}.${name}`;
const query = layer(0, "self_attn.q_proj");
const value = layer(0, "self_attn.v_proj");

// prettier-ignore
const scalings: [config: object, query: number[], value: number[]][] = [
  [{ r: 4, lora_alpha: 8 }, [4, 8, 2], [4, 8, 2]],
  [{ r: 4, lora_alpha: 2 }, [4, 2, 0.5], [4, 2, 0.5]],
  [{ r: 4, lora_alpha: 0.5 }, [4, 0.5, 0.125], [4, 0.5, 0.125]],
  [{ r: 16, lora_alpha: 8, use_rslora: true }, [16, 8, 2], [16, 8, 2]],
  [{ r: 2, lora_alpha: 2, rank_pattern: { q_proj: 4 } }, [4, 2, 0.5], [2, 2, 1]],
  [{ r: 2, lora_alpha: 2, alpha_pattern: { "self_attn\\.v.*": 6 } }, [2, 2, 1], [2, 6, 3]],
  [{ r: 2, lora_alpha: 2, rank_pattern: { q_proj: 4 }, alpha_pattern: { q_proj: 4 } }, [4, 4, 1], [2, 2, 1]],
  [{ r: 2, lora_alpha: 2, rank_pattern: { v_proj: 16 }, use_rslora: true }, [2, 2, 2 / Math.sqrt(2)], [16, 2, 0.5]],
];

for (const [config, ofQuery, ofValue] of scalings) {
  test(`rank, alpha and scaling with ${JSON.stringify(config)}`, async (t) => {
    const ranks = { [query]: ofQuery[0] ?? 0, [value]: ofValue[0] ?? 0 };
    const folder = await writeLora(await temporaryFolder(t), makeFactors(ranks), config);
    const adapter = await openAdapterCheckpoint(folder);
    const cells = methodOf(adapter.config).summarize(adapter);
    const found = new Map(cells.map((cell) => [cell.path, [cell.rank, cell.alpha, cell.scaling]]));
    assert.deepEqual(Object.fromEntries(found), { [query]: ofQuery, [value]: ofValue });
  });
}

const base = await loadBaseModel(tinyLlama);
const folder = await temporaryFolder({ after });
const model = new PeftModel(base);
after(() => model.dispose());

/** Two adapters that share a group of layers, share a layer, and have one of their own. */
const a = makeFactors({ [query]: 4, [layer(0, "mlp.down_proj")]: 4, [layer(1, "mlp.up_proj")]: 4 });
const b = makeFactors({ [query]: 2, [value]: 2, [layer(1, "self_attn.o_proj")]: 2 }, 2);
await model.loadAdapter(await writeLora(path.join(folder, "a"), a), { adapterName: "a" });
await model.loadAdapter(await writeLora(path.join(folder, "b"), b), { adapterName: "b" });
const bare = await logitsOf(model);

/** Logits of the base with the adapters merged into its weights: A at alpha / r = 2, B at 4. */
async function dense(weightOfA: number, weightOfB: number): Promise<Float32Array> {
  const merged = await writeMerged(path.join(folder, `${weightOfA} ${weightOfB}`), [
    { factors: a, scale: 2 * weightOfA },
    { factors: b, scale: 4 * weightOfB },
  ]);
  const other = new PeftModel(await loadBaseModel(merged));
  try {
    return await logitsOf(other);
  } finally {
    await other.dispose();
  }
}

const at = (weightOfA: number, weightOfB: number): ActiveAdapter[] => [
  { name: "a", weight: weightOfA },
  { name: "b", weight: weightOfB },
];

const mixes: [weightOfA: number, weightOfB: number][] = [
  [1, 0],
  [0.5, 0],
  [0, -1],
  [1, 1],
  [0.3, 1.7],
];

for (const [weightOfA, weightOfB] of mixes) {
  test(`A at ${weightOfA} and B at ${weightOfB} is W + their sum`, async () => {
    const active = at(weightOfA, weightOfB);
    const expected = await dense(weightOfA, weightOfB);
    assert(difference(expected, bare) > 0.1, "the adapters change nothing");
    const far = difference(await logitsOf(model, active), expected);
    assert(far < 1e-4, `differ by ${far}`);
    const turned = difference(await logitsOf(model, active.reverse()), expected);
    assert(turned < 1e-4, `in the other order: differ by ${turned}`);
  });
}

test("no adapters, and all at weight 0, is exactly the bare graph", async (t) => {
  const plain = decodingSession(await openSession(buildModel(base.checkpoint)));
  t.after(() => plain.dispose());
  const ids = [5, 42, 7];
  const { data } = await plain.forward(plain.start(adapterInputs([])), [ids]);
  for (const active of [[], at(0, 0)]) {
    const inputs = model.inputsOf(active);
    const own = await base.session.with(inputs, (session) =>
      session.forward(session.start(inputs), [ids]),
    );
    assert.deepEqual(own.data, data);
  }
});

const values: [ofA: number | undefined, ofB: number | undefined, warnings: RegExp[]][] = [
  [undefined, undefined, []],
  [0, undefined, [/changes nothing/]],
  [undefined, 0, [/changes nothing/]],
  [NaN, undefined, [/lora_A.weight" holds NaN/]],
  [undefined, Infinity, [/lora_B.weight" holds NaN or infinite/]],
];

for (const [ofA, ofB, warnings] of values) {
  test(`A of ${ofA ?? "numbers"} and B of ${ofB ?? "numbers"}: ${warnings.length} warnings`, async (t) => {
    const factors = makeFactors({ [query]: 2 });
    if (ofA !== undefined) factors.get(query)?.a.fill(ofA);
    if (ofB !== undefined) factors.get(query)?.b.fill(ofB);
    const place = await writeLora(await temporaryFolder(t), factors);
    const { warnings: said } = await new PeftModel(base).loadAdapter(place);
    assert.equal(said.length, warnings.length, said.join(" "));
    warnings.forEach((warning, i) => assert.match(said[i] ?? "", warning));
  });
}
