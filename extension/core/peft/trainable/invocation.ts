import { onnxTypes, type Value } from "../../onnx/graph.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import { int } from "../../onnx/attributes.ts";

/** Where aLoRA acts: from the start of the last occurrence of its tokens on (PEFT lora/variants.py). */
export class Invocation {
  private readonly seen = new WeakMap<GraphBuilder, Value>();

  constructor(private readonly tokens: readonly number[]) {}

  /** The first table that is read is that of tokens. */
  see(g: GraphBuilder, ids: Value): void {
    if (!this.seen.has(g)) this.seen.set(g, activeTokens(g, ids, this.tokens));
  }

  active(g: GraphBuilder): Value | null {
    return this.seen.get(g) ?? null;
  }
}

/** ids [batch, seq] → 1 from the last occurrence on, else 0; [batch, seq, 1] in fp32. */
function activeTokens(g: GraphBuilder, ids: Value, tokens: readonly number[]): Value {
  const last = tokens.length - 1;
  // Places beyond the end hold a token that is none.
  const attributes = { mode: { kind: "string", value: "constant" } } as const;
  const padding = [g.int64s([0, 0, 0, last]), g.int64Scalar(-1)];
  const padded = last === 0 ? ids : g.node("Pad", [ids, ...padding], { attributes })[0];
  const length = g.sizeOf(ids, 1);
  const isHere = tokens.map((token, i) => {
    const end = g.add(length, g.int64s([i]));
    const [part] = g.node("Slice", [padded, g.int64s([i]), end, g.int64s([1])]);
    return g.node("Equal", [part, g.int64Scalar(token)])[0];
  });
  const starts = isHere.reduce((all, each) => g.and(all, each));
  const place = g.range(g.int64Scalar(1), g.add(g.squeeze(length, 0), g.int64Scalar(1)));
  const found = g.mul(g.cast(starts, onnxTypes.int64), place);
  const keepdims = { keepdims: int(1) };
  const [latest] = g.node("ReduceMax", [found, g.int64s([1])], { attributes: keepdims });
  const isThere = g.greater(latest, g.int64Scalar(0));
  const active = g.and(isThere, g.greaterOrEqual(place, latest));
  return g.unsqueeze(g.cast(active, onnxTypes.float32), 2);
}
