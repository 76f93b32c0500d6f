import assert from "node:assert/strict";
import { test } from "node:test";
import { type LinearGroup, linearGroup } from "../../../../../extension/core/onnx/layerHook.ts";
import type { ActiveEffects } from "../../../../../extension/core/peft/activeEffects.ts";
import type { AdapterEffects, LinearEffect } from "../../../../../extension/core/peft/effect.ts";
import { initialPlan } from "../../../../../extension/core/peft/slots/slotPlan.ts";
import {
  type SlotTensor,
  slotTensors,
} from "../../../../../extension/core/peft/slots/slotTensors.ts";

const layer = (path: string, out: number): LinearGroup["modules"][number] => ({
  kind: "linear",
  path,
  in: 3,
  out,
  hasBias: false,
});
const group = linearGroup([layer("layers.0.q", 4), layer("layers.0.k", 2)]);
const plan = initialPlan([group], null);

/** A LoRA of some modules, its numbers all different. */
function adapter(
  ranks: Record<string, number>,
  more: Partial<LinearEffect> = {},
  start = 1,
): AdapterEffects {
  let next = start;
  const numbers = (count: number): Float32Array =>
    Float32Array.from({ length: count }, () => (next += 0.25));
  const linear = new Map<string, LinearEffect>();
  for (const { path, out } of group.modules) {
    const rank = ranks[path];
    if (rank === undefined) continue;
    linear.set(path, {
      lowRank: { a: numbers(rank * 3), b: numbers(out * rank), rank },
      ...more,
    });
  }
  return { linear };
}

function pack(active: readonly ActiveEffects[]): SlotTensor[] {
  return slotTensors(plan, [group], { rows: [active], baseNorms: new Map() });
}

function named(tensors: readonly SlotTensor[], end: string): SlotTensor {
  return tensors.find(({ name }) => name.endsWith(end)) as SlotTensor;
}

/** Bᵀ Aᵀ of the group's slot: what x is multiplied by. [in, out] */
function product(tensors: readonly SlotTensor[]): number[] {
  const [a, b] = [named(tensors, "lora_A"), named(tensors, "lora_B")];
  const [, rank = 0, out = 0] = b.shape;
  return Array.from({ length: 3 * out }, (_, i) => {
    const [row, column] = [Math.floor(i / out), i % out];
    let sum = 0;
    for (let r = 0; r < rank; r++) {
      sum += (a.data[r * 3 + row] as number) * (b.data[r * out + column] as number);
    }
    return sum;
  });
}

test("another weight of a LoRA takes the same A, and B times the weight", () => {
  const effects = adapter({ "layers.0.q": 2, "layers.0.k": 1 });
  const before = pack([{ effects, weight: 0.5 }]);
  const after = pack([{ effects, weight: -2 }]);
  assert.equal(named(before, "lora_A").data, named(after, "lora_A").data);
  assert.deepEqual(
    [...named(after, "lora_B").data],
    Array.from(named(before, "lora_B").data, (value) => value * -4),
  );
});

test("several LoRAs at weights add up, in any number of sets one after another", () => {
  const a = adapter({ "layers.0.q": 2, "layers.0.k": 1 });
  const b = adapter({ "layers.0.k": 3 }, {}, 7);
  const alone = (effects: AdapterEffects): number[] => product(pack([{ effects, weight: 1 }]));
  for (const [x, y] of [
    [0.5, 0.25],
    [2, -1],
    [1, 1],
  ] as const) {
    const both = product(
      pack([
        { effects: a, weight: x },
        { effects: b, weight: y },
      ]),
    );
    const expected = alone(a).map((value, i) => x * value + y * (alone(b)[i] as number));
    both.forEach((value, i) => assert.ok(Math.abs(value - (expected[i] as number)) < 1e-4));
    const other = product(pack([{ effects: a, weight: x }]));
    assert.deepEqual(
      other,
      alone(a).map((value) => value * x),
    );
  }
});

test("an adapter that does more to a layer is packed anew at every weight", () => {
  const outputScale = Float32Array.of(2, 2, 2, 2);
  const effects = adapter({ "layers.0.q": 1 }, { outputScale });
  const first = named(pack([{ effects, weight: 0.5 }]), "lora_A");
  assert.notEqual(first.data, named(pack([{ effects, weight: 0.25 }]), "lora_A").data);
});
