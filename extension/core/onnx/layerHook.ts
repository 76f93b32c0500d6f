import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { GraphBuilder } from "./builder.ts";
import type { Value } from "./graph.ts";

export type LinearModule = Extract<ModuleInfo, { kind: "linear" }>;

/** Linear layers that read the same input; their outputs lie side by side on the last axis. */
export interface LinearGroup {
  /** "model.layers.0.self_attn.q_proj+k_proj+v_proj": the common path and the layers' names. */
  readonly name: string;
  readonly modules: readonly LinearModule[];
  /** True where each layer's output is read by itself: they need not lie side by side. */
  readonly isApart?: boolean;
}

/** What attention has when its queries have looked at the sequence. */
export interface AttentionValues {
  /** Rotated queries [batch, kv heads, queries per key · seq, dim]. */
  readonly query: Value;
  /** Values that they mixed, of the same shape. */
  readonly mixed: Value;
  /** Factor on scores. */
  readonly scale: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
}

export interface KeysAndValues {
  readonly key: Value;
  readonly value: Value;
}

/** What is put around a whole block of the stack: attention, MLP and what is added to the stream. */
export interface BlockHook {
  /** The stream [batch, seq, hidden] before the block → what the block reads. */
  enter(stream: Value): Value;
  /** The stream behind the block → what the model goes on with. */
  leave(stream: Value): Value;
}

/** Which experts the tokens of a layer have chosen. */
export interface ExpertChoice {
  /** [batch, seq, experts a token], int64 */
  readonly chosen: Value;
  /** The same as pairs of a token and an expert, [batch, pairs]: a token's stand together. */
  readonly pairs: Value;
}

/** A matrix of which every expert has one, and what the experts multiply with it. */
export interface ExpertMatrix {
  /** The parameter's name: "model.layers.0.mlp.experts.gate_up_proj". */
  readonly name: string;
  readonly count: number;
  readonly in: number;
  readonly out: number;
  /** [batch, seq, in] of tokens, or [batch, pairs, in]. */
  readonly x: Value;
  readonly of: "tokens" | "pairs";
  readonly choice: ExpertChoice;
}

/** Numbers that a base leaves out at random in training. */
export interface DropoutPlace {
  readonly x: Value;
  readonly path: string;
  /** Of config.json. */
  readonly field: string;
  readonly probability: number;
  /** Of the last axis; null where each run has another. */
  readonly size: number | null;
  /** What the rows before it are: those of all tokens, of all heads' queries, or others. */
  readonly rows: "tokens" | "attention" | "own";
}

/** Outputs of a group's layers: side by side [batch, seq, Σ out], or one value for each layer. */
export type Outputs = Value | readonly Value[];

/** A group's base layers, on one input for all or one for each. */
export type BaseLayers = (x: Value | readonly Value[]) => Outputs;

/** A group's base layers one by one, for whoever goes on from what they hold. */
export interface LayerParts {
  /** One layer on an input of its own, bias included. */
  layer(index: number, x: Value): Value;
  /** The same without its bias. */
  product(index: number, x: Value): Value;
  /** Its weight as y = W x: [out, in] in fp32, whatever it is stored in. */
  weight(index: number): Value;
  /** [out], or null. */
  bias(index: number): Value | null;
}

/** A group's input [batch, seq, in] and what stands around it. */
export interface GroupLayers {
  readonly x: Value;
  readonly base: BaseLayers;
  /** Absent where the layers cannot be taken apart: in an ONNX export. */
  readonly parts?: LayerParts;
}

/** Where an embedding's rows came from. */
export interface EmbeddingSource {
  /** [batch, seq], as they pick rows of the table. */
  readonly ids: Value;
  /** The whole table [rows, dim] in fp32; asking for it puts it into the graph. */
  table(): Value;
}

export interface EmbeddingRows {
  readonly rows: Value;
  /** Absent in an ONNX export, which does not say where they came from. */
  readonly source?: EmbeddingSource;
  /** True for tokens of an answer, which a decoder behind an encoder reads. */
  readonly isAnswer?: boolean;
}

/**
 * The door between a model and what is put around its layers. Each function gets what the base
 * computes and returns what the model goes on with.
 */
export interface LayerHook {
  /** A group's layers → outputs in whichever form is at hand. */
  linears(g: GraphBuilder, group: LinearGroup, layers: GroupLayers): Outputs;
  /** Rows [batch, seq, dim] that an embedding gave. */
  embedding(g: GraphBuilder, path: string, at: EmbeddingRows): Value;
  /** What an attention block mixed, before its output projection. */
  attention(g: GraphBuilder, path: string, values: AttentionValues): Value;
  /** What attention of a layer remembers, [batch, kv heads, seq, dim] each, keys rotated; as it is without. */
  memory?(g: GraphBuilder, layer: number, own: KeysAndValues): KeysAndValues;
  /**
   * Keys and values before an encoder's sequence, [batch, heads, tokens, dim]; absent for those of a session.
   * @param like as many texts as the batch has
   */
  prefix?(g: GraphBuilder, layer: number, like: Value): KeysAndValues;
  /** What is added to the rows [batch, pairs, out] that experts give; null for nothing. */
  experts(g: GraphBuilder, matrix: ExpertMatrix): Value | null;
  /** A norm's weight [size]. */
  norm(g: GraphBuilder, path: string, weight: { value: Value; size: number }): Value;
  /** A block of the stack by its path ("model.layers.0"); null leaves it as it is. */
  block(g: GraphBuilder, path: string, size: number): BlockHook | null;
  /** The base's own dropout in training; absent wherever it is not trained. */
  dropout?(g: GraphBuilder, place: DropoutPlace): Value;
  /** The stream behind the last norm, [batch, seq, hidden], as it is. */
  hidden(g: GraphBuilder, stream: Value, size: number): void;
}

export const bareLayers: LayerHook = {
  linears: (_g, _group, { x, base }) => base(x),
  embedding: (_g, _path, { rows }) => rows,
  attention: (_g, _path, { mixed }) => mixed,
  experts: () => null,
  norm: (_g, _path, { value }) => value,
  block: () => null,
  hidden: () => undefined,
};

/** Outputs side by side on the last axis. */
export function sideBySide(g: GraphBuilder, outputs: Outputs): Value {
  return typeof outputs === "string" ? outputs : g.concat(outputs, -1);
}

/** Outputs one by one. */
export function oneByOne(
  g: GraphBuilder,
  { modules }: LinearGroup,
  outputs: Outputs,
): readonly Value[] {
  if (typeof outputs !== "string") return outputs;
  return g.split(
    outputs,
    modules.map(({ out }) => out),
    -1,
  );
}

/** Names a group after its layers: the shared parent once, then each layer's own name. */
export function linearGroup(modules: readonly LinearModule[], isApart = false): LinearGroup {
  const [first, ...rest] = modules.map((module) => module.path) as [string, ...string[]];
  const parent = first.slice(0, first.lastIndexOf(".") + 1);
  const name = [first, ...rest.map((path) => path.slice(parent.length))].join("+");
  return { name, modules, ...(isApart && { isApart }) };
}

/** Input and summed output features of a group. */
export function groupSize(group: LinearGroup): { in: number; out: number } {
  return {
    in: (group.modules[0] as LinearModule).in,
    out: group.modules.reduce((sum, module) => sum + module.out, 0),
  };
}
