import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import { type FormLayer, numberOf } from "./moduleForm.ts";

/** How often LoHa and LoKr leave something out: rows of ΔW, or all of it. */
export function lycorisDropout(config: object): number {
  return Math.max(numberOf(config, "rank_dropout"), numberOf(config, "module_dropout"));
}

/**
 * What ΔW makes of an input [..., out], without the rows that are left out – the rest scaled up by their
 * share where `isScaled` – and without all of it in a module that is left out, which PEFT does not make
 * up for (tuners/lycoris_utils.py, loha/layer.py, lokr/layer.py).
 */
export function withLycorisDropout(
  g: GraphBuilder,
  delta: Value,
  {
    layer,
    isScaled,
  }: { layer: Pick<FormLayer<object>, "config" | "module" | "masks">; isScaled: boolean },
): Value {
  const { config, module, masks } = layer;
  const kept = (field: "rank_dropout" | "module_dropout", size: number): Value | null => {
    const probability = numberOf(config, field);
    if (probability <= 0) return null;
    return g.sub(g.scalar(1), masks.some(probability, { size, key: field }));
  };
  const rows = kept("rank_dropout", module.out);
  const whole = kept("module_dropout", 1);
  // Where no row is left there is nothing to divide.
  const share = rows && isScaled ? g.max(g.mean(rows, [0]), g.scalar(1 / (2 * module.out))) : null;
  const scaled = rows && (share === null ? rows : g.div(rows, share));
  const some = scaled === null ? delta : g.mul(delta, scaled);
  return whole === null ? some : g.mul(some, whole);
}
