/** Training forms against Python PEFT: what they begin with, the loss, every gradient, three steps. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, describe, it } from "node:test";
import { parseAdapterConfig } from "../../extension/core/checkpoint/adapterConfig.ts";
import { AdamW, openTiny, type TinyBase, TrainingStep } from "./trainingStep.ts";

type Told = [norm: number, product: number];

interface Truth {
  /** `base`: the model's folder where it is not the tiny llama's. */
  readonly config: Record<string, unknown> & { base?: string };
  readonly how?: {
    /** AdaLoRA's update_and_allocate after every step. */
    readonly allocates?: true;
    /** Nothing is drawn. */
    readonly quiet?: true;
    /** Directions are known up to their signs: norms are compared. */
    readonly signless?: true;
  };
  readonly losses: readonly number[];
  /** By name in PEFT: as it began, its gradient, after three steps. */
  readonly tensors: Readonly<Record<string, [Told, Told, Told]>>;
  /** PEFT's rank_pattern at the end. */
  readonly ranks?: Readonly<Record<string, number[]>>;
}

const fixtures = path.join(import.meta.dirname, "fixtures");
const { cases } = JSON.parse(readFileSync(path.join(fixtures, "trainable.json"), "utf8")) as {
  cases: Record<string, Truth>;
};

const ids = [0, 1].map((row) =>
  Array.from({ length: 9 }, (_, i) => 3 + ((37 * i + 11 * row) % 120)),
);

function told(values: Float32Array): Told {
  let [squares, product] = [0, 0];
  values.forEach((value, i) => {
    squares += value * value;
    product += value * Math.cos(0.7 * i + 0.3);
  });
  return [Math.sqrt(squares), product];
}

/** Both sums within a part of the tensor's norm. */
function close(
  own: Told,
  truth: Told,
  at: { part: number; what: string; isSignless: boolean },
): void {
  const bound = at.part * Math.max(truth[0], 1e-4);
  for (const [i, value] of own.slice(0, at.isSignless ? 1 : 2).entries()) {
    const wanted = truth[i] as number;
    assert(Math.abs(value - wanted) <= bound, `${at.what}: ${value} instead of ${wanted}`);
  }
}

function perturb(step: TrainingStep): void {
  const trained = step.adapter.parameters.filter(({ isTrained }) => isTrained);
  trained.forEach(({ name }, k) => {
    const noise = (i: number): number => Math.fround(0.05 * Math.sin(1.7 * i + 0.9 * k + 0.3));
    step.values.set(
      name,
      (step.values.get(name) as Float32Array).map((value, i) => value + noise(i)),
    );
  });
}

describe("training forms", () => {
  const bases = new Map<string, Promise<TinyBase>>();
  const baseOf = (name: string): Promise<TinyBase> => {
    const known = bases.get(name) ?? openTiny(path.join(fixtures, "models", name));
    bases.set(name, known);
    return known;
  };
  for (const [name, truth] of Object.entries(cases)) {
    it(name, async () => {
      const { base = "llama", ...fields } = truth.config;
      const config = parseAdapterConfig(JSON.stringify(fields), "adapter_config.json");
      const { allocates, quiet: isQuiet = false, signless: isSignless = false } = truth.how ?? {};
      const step = await TrainingStep.create(await baseOf(base), config, { seed: 42, isQuiet });
      after(() => step.dispose());
      const trained = step.adapter.parameters.filter(({ isTrained }) => isTrained);
      const spelled = new Map(trained.map(({ name: own, torchName = own }) => [torchName, own]));
      assert.deepEqual([...spelled.keys()], Object.keys(truth.tensors), "order of parameters");
      const compare = (
        of: (own: string) => Float32Array,
        at: { index: 0 | 1 | 2; part: number },
      ) => {
        for (const [torch, sums] of Object.entries(truth.tensors)) {
          const what = `${["beginning", "gradient", "end"][at.index]} of ${torch}`;
          const own = told(of(spelled.get(torch) as string));
          close(own, sums[at.index], { part: at.part, what, isSignless });
        }
      };
      const value = (own: string): Float32Array => step.values.get(own) as Float32Array;
      compare(value, { index: 0, part: 1e-5 });
      if (!isSignless) perturb(step);
      const allocator = (allocates && step.adapter.allocator?.()) ?? null;
      const optimizer = new AdamW({ rate: 0.01, decay: 0.01 });
      for (const [i, loss] of truth.losses.entries()) {
        for (const [own, settled] of step.adapter.settle?.(step.values) ?? [])
          step.values.set(own, settled);
        const made = await step.run({ ids, labels: ids });
        assert(Math.abs(made.loss - loss) < 1e-4, `loss ${i}: ${made.loss} instead of ${loss}`);
        if (i === 0)
          compare((own) => made.gradients.get(own) as Float32Array, { index: 1, part: 1e-4 });
        if (i === truth.losses.length - 1) continue;
        allocator?.beforeUpdate?.(made.gradients);
        optimizer.update(step.values, made.gradients);
        allocator?.afterUpdate({ step: i, values: step.values, gradients: made.gradients });
      }
      compare(value, { index: 2, part: 1e-3 });
      if (!truth.ranks) return;
      const { rank_pattern: ranks } = allocator?.saved(step.values).fields ?? {};
      const left = Object.entries(ranks as Record<string, boolean[]>);
      const counted = left.map(([own, kept]) => [own, kept.map(Number)] as const);
      assert.deepEqual(Object.fromEntries(counted), truth.ranks);
    });
  }
});
