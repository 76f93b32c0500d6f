import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { GraphBuilder } from "./builder.ts";
import type { Value } from "./graph.ts";

export type LinearModule = Extract<ModuleInfo, { kind: "linear" }>;

/** Linear layers that read the same input; their outputs lie side by side on the last axis. */
export interface LinearGroup {
  /** "model.layers.0.self_attn.q_proj+k_proj+v_proj": the common path and the layers' names. */
  readonly name: string;
  readonly modules: readonly LinearModule[];
}

/**
 * The door between a model and what is put around its layers: gets a group's input
 * [batch, seq, in] and its base layers as a function, returns [batch, seq, Σ out].
 */
export type LayerHook = (
  g: GraphBuilder,
  group: LinearGroup,
  { x, base }: { x: Value; base: (x: Value) => Value },
) => Value;

export const bareLayers: LayerHook = (_g, _group, { x, base }) => base(x);

/** Names a group after its layers: the shared parent once, then each layer's own name. */
export function linearGroup(modules: readonly LinearModule[]): LinearGroup {
  const [first, ...rest] = modules.map((module) => module.path) as [string, ...string[]];
  const parent = first.slice(0, first.lastIndexOf(".") + 1);
  return { name: [first, ...rest.map((path) => path.slice(parent.length))].join("+"), modules };
}
