/**
 * TinyLoRA (PEFT tuners/tinylora): ΔW = B R A with R = Σ v_i P_i; the vectors v are trained, A and B are the
 * weight's largest singular directions, halves of the singular values on each, P random. A and B are in
 * the file, so that their signs are the run's own; up to 1,024 wide they are PyTorch's (base/svd.ts).
 */
import { t } from "@vscode/l10n";
import { misfit } from "../../base/errors.ts";
import { singularPart } from "../../base/singular.ts";
import { singularVectors } from "../../base/svd.ts";
import { type ModuleInfo, weightName } from "../../checkpoint/modules.ts";
import type { Value } from "../../onnx/graph.ts";
import {
  drawnProjections,
  groupCount,
  groupOf,
  rankOf,
  sidesOf,
  tinyLora as method,
  type TinyLoraConfig,
} from "../tinyLora.ts";
import { behindScale } from "../embeddingScale.ts";
import type { TunerPlan } from "../tuner/tuner.ts";
import { zeros } from "./draws.ts";
import { numberOf } from "./moduleForm.ts";
import { refuseField } from "./refuse.ts";
import { type TrainedModule, trainableTuner } from "./tuner.ts";

const [nameA, nameB, nameP] = ["tinylora_A", "tinylora_B", "tinylora_P"] as const;

/** Whole decompositions of wider weights take minutes; few directions do not. */
const widest = 1024;

/** Targets in order: every plan has a config object of its own. */
const targetsOf = new WeakMap<TinyLoraConfig, readonly string[]>();

/** The module's place among the targets. */
function placeOf({ path }: ModuleInfo, config: TinyLoraConfig): number {
  return targetsOf.get(config)?.indexOf(path) ?? 0;
}

function groups({ config, targets }: TunerPlan<TinyLoraConfig>): number {
  return groupCount(targets.length, config);
}

/** R [r, r] */
function mixing({ g, module, config, parameter, shared }: TrainedModule<TinyLoraConfig>): Value {
  const r = rankOf(module, config);
  const count = targetsOf.get(config)?.length ?? 1;
  const vector = shared(`tinylora_v.${groupOf(placeOf(module, config), count, config)}`);
  const projections = g.reshape(parameter(nameP), [config.u, r * r]);
  return g.reshape(g.matMul(g.reshape(vector, [1, config.u]), projections), [r, r]);
}

/** A [r, columns] = √S Vᵀ and B [rows, r] = U √S of a weight [rows, columns]. */
function directions(
  weight: Float32Array,
  { rows, columns, r }: { rows: number; columns: number; r: number },
): { a: Float32Array; b: Float32Array } {
  if (Math.min(rows, columns) > widest) return quickDirections(weight, { rows, columns, r });
  const { values, left, right } = singularVectors(weight, { rows, columns, count: r });
  const roots = values.map(Math.sqrt);
  return {
    a: Float32Array.from({ length: r * columns }, (_, i) => {
      const k = Math.floor(i / columns);
      return (right[k]?.[i % columns] as number) * (roots[k] as number);
    }),
    b: Float32Array.from({ length: rows * r }, (_, i) => {
      const k = i % r;
      return (left[k]?.[Math.floor(i / r)] as number) * (roots[k] as number);
    }),
  };
}

function quickDirections(
  weight: Float32Array,
  { rows, columns, r }: { rows: number; columns: number; r: number },
): { a: Float32Array; b: Float32Array } {
  const size = { rows, columns, count: r, end: "largest" } as const;
  const { left, right } = singularPart(weight, size);
  const norm = (of: (i: number) => number, length: number): number => {
    let sum = 0;
    for (let i = 0; i < length; i++) sum += of(i) ** 2;
    return Math.sqrt(sum);
  };
  // One of the two has orthonormal directions, the other one carries the singular values.
  const factors = Array.from({ length: r }, (_, k) => ({
    left: norm((i) => left[i * r + k] as number, rows),
    right: norm((i) => right[k * columns + i] as number, columns),
  })).map(({ left: p, right: q }) => ({ onB: Math.sqrt(q / p), onA: Math.sqrt(p / q) }));
  return {
    a: Float32Array.from(right, (value, i) => value * (factors[Math.floor(i / columns)]?.onA ?? 0)),
    b: Float32Array.from(left, (value, i) => value * (factors[i % r]?.onB ?? 0)),
  };
}

export const tinyLora = trainableTuner<TinyLoraConfig>({
  method,
  check: (config, { raw }) => {
    // PEFT leaves the vectors as the memory was.
    if (config["init_weights"] === false) refuseField(raw.file, "init_weights", method.peftType);
  },
  dropout: (config) => numberOf(config, "tinylora_dropout"),
  tensors: (module, { config }) => {
    const r = rankOf(module, config);
    const [inputs, outputs] = sidesOf(module);
    const frozen = { isTrained: false, isStored: true };
    return {
      [nameA]: { shape: [r, inputs], ...frozen },
      [nameB]: { shape: [outputs, r], ...frozen },
      [nameP]: { shape: [config.u, r, r], isTrained: false, isStored: config.save_projection },
    };
  },
  sharedTensors: (plan) => {
    targetsOf.set(
      plan.config,
      plan.targets.map(({ module }) => module.path),
    );
    const vector = { shape: [plan.config.u], isTrained: true, isStored: true };
    return Object.fromEntries(
      Array.from({ length: groups(plan) }, (_, i) => [`tinylora_v.${i}`, vector]),
    );
  },
  initializeShared: (plan, { config, random }) => {
    const bound = numberOf(config, "init_v_bound", 0.02);
    const isDrawn = config["init_weights"] === "uniform";
    const vector = (): Float32Array =>
      isDrawn ? random.uniform(config.u, -bound, bound) : zeros([config.u]);
    return Promise.resolve(
      Object.fromEntries(
        Array.from({ length: groups(plan) }, (_, i) => [`tinylora_v.${i}`, vector()]),
      ),
    );
  },
  initialize: async (module, { config, base }) => {
    const r = rankOf(module, config);
    const [columns, rows] = sidesOf(module);
    const name = weightName(module);
    const weight = await base.readTensor(name);
    if (!weight) {
      throw misfit(t('The base has no tensor "{0}", which the adapter needs.', name));
    }
    const { a, b } = directions(weight, { rows, columns, r });
    return {
      [nameA]: a,
      [nameB]: b,
      [nameP]: drawnProjections(placeOf(module, config), r, config),
    };
  },
  linear: (layer) => {
    const { g, config, x, base, parameter } = layer;
    const inner = g.matMulTransposed(
      layer.dropout(x, numberOf(config, "tinylora_dropout")),
      parameter(nameA),
    );
    return g.add(
      base(),
      g.matMulTransposed(g.matMulTransposed(inner, mixing(layer)), parameter(nameB)),
    );
  },
  embedding: (table) => {
    const { g, config, module, ids, rows, parameter } = table;
    const found = g.gather(parameter(nameB), ids);
    const rate = numberOf(config, "tinylora_dropout");
    const inner = table.dropout(found, rate, rankOf(module, config));
    const update = g.matMul(g.matMul(inner, mixing(table)), parameter(nameA));
    return g.add(rows, g.scale(update, behindScale(module)));
  },
});
