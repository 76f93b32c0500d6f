import type { Node } from "../onnx/graph.ts";

/** How a module's place in an export was told, the surest first. */
export type Rule = "scopes" | "node name" | "weight name" | "order";

const scopesKey = "pkg.torch.onnx.name_scopes";

/**
 * The module that the dynamo exporter notes for a node: the entry before the operator in a Python
 * list such as ['', 'model', 'model.layers.0.self_attn.q_proj', 'linear'].
 */
export function scopeOf({ metadata }: Node): string | null {
  const list = metadata?.get(scopesKey);
  if (list === undefined) return null;
  const entries = [...list.matchAll(/'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"/g)];
  const scope = entries.at(-2);
  return (scope && (scope[1] ?? scope[2])) || null;
}

/** Ends that exporters and quantizers put behind a module's path; taken off again and again. */
const ends = [
  /_output_\d+$/,
  /_(quant|quantized|scales?|zero_points?|matmul)$/,
  /_(DQ_)?Q\d$/,
  /_DQ$/,
  /\.(weight|bias|qweight|qzeros|scales|g_idx)$/,
  /\.(MatMul|MatMulNBits|Gemm|Gather|GatherBlockQuantized|Add|Conv|FusedMatMul)(_\d+|NBits)?$/,
];

/** "/model/layers.0/self_attn/q_proj/base_layer/MatMul_Q4" → "model.layers.0.self_attn.q_proj". */
export function modulePath(name: string): string {
  let path = name.replace(/^\/+/, "").replaceAll("/", ".");
  for (let before = ""; before !== path;) {
    before = path;
    for (const end of ends) path = path.replace(end, "");
  }
  return path.replaceAll(/\.base_layer(?=\.|$)/g, "");
}

/** Other spellings under which the GenAI builder and older exporters know a module. */
const spellings: readonly [RegExp, string][] = [
  [/\.attn\./, ".self_attn."],
  [/\.attn\./, ".attention."],
  [/\.(self_attn|attn)\.o_proj$/, ".self_attn.dense"],
  [/\.(self_attn|attn)\.o_proj$/, ".self_attn.out_proj"],
  [/\.(self_attn|attn)\.o_proj$/, ".attn.c_proj"],
  [/\.(q_norm|k_norm)\.layernorm$/, ".$1"],
  [/\.mlp\.fc1$/, ".mlp.c_fc"],
  [/\.mlp\.fc2$/, ".mlp.c_proj"],
];

/** A path and what else the same module may be called. */
export function spelled(path: string): string[] {
  const out = new Set([path]);
  for (const [pattern, other] of spellings) {
    for (const each of [...out]) out.add(each.replace(pattern, other));
  }
  return [...out];
}

/**
 * Whether a name from an export means a module's path: wrappers put levels before it, and an export
 * of a model's inner part lacks some.
 */
export function means(name: string, path: string): boolean {
  return (
    name === path ||
    name.endsWith(`.${path}`) ||
    (/\.\d+\./.test(name) && path.endsWith(`.${name}`))
  );
}
