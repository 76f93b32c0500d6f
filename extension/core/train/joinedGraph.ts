/** A model's encoder and decoder as one graph, so that gradients go back through both. */
import type { Seq2SeqModel } from "../models/seq2seqModel.ts";
import { GraphBuilder } from "../onnx/builder.ts";
import type { Graph, Port, Value } from "../onnx/graph.ts";

/** Inputs of the decoder that are called as the encoder's are. */
export const decoderInputs = { input_ids: "decoder_input_ids", mask: "decoder_mask" } as const;

/**
 * Inputs are the encoder's, and the decoder's but for what the encoder gives it; both read the same
 * parameters. Outputs are the decoder's.
 */
export function joinedGraph({ encoder, decoder }: Seq2SeqModel): Graph {
  const g = new GraphBuilder();
  g.include(sized(encoder.graph, "seq"), new Map());
  const own = apart(sized(decoder.graph, "answer"));
  const bound = new Map<string, Value>();
  for (const { name } of [...encoder.graph.inputs, ...encoder.graph.outputs]) bound.set(name, name);
  for (const port of own.inputs) {
    const name = renamed(port.name);
    if (name === undefined) continue;
    bound.set(port.name, g.input(name, port.type, port.shape));
  }
  g.include(own, bound);
  for (const output of own.outputs) g.declareOutput(output);
  return g.build(decoder.graph.name);
}

function renamed(name: string): string | undefined {
  return Object.entries(decoderInputs).find(([own]) => own === name)?.[1];
}

/**
 * The graph with one name for what is as long as its sequence: sizes that are known to be the same need no
 * operators that ask for them.
 */
function sized(graph: Graph, length: string): Graph {
  const names: Readonly<Record<string, string>> = {
    ...{ seq: length, queries: length, keys: length },
    ...{ batch: "batch", source: "seq" },
  };
  const sizes = (port: Port): Port => ({
    ...port,
    shape: port.shape.map((size) =>
      typeof size === "number" ? size : (names[size] ?? `${length} ${size}`),
    ),
  });
  return { ...graph, inputs: graph.inputs.map(sizes) };
}

/** The decoder with names of its own for all that it makes. */
function apart(graph: Graph): Graph {
  const given = new Set<string>([...graph.inputs, ...graph.initializers].map(({ name }) => name));
  const outputs = new Set<string>(graph.outputs.map(({ name }) => name));
  const own = (name: Value | ""): Value | "" =>
    name === "" || given.has(name) || outputs.has(name) ? name : (`decoder:${name}` as Value);
  return {
    ...graph,
    nodes: graph.nodes.map((node) => ({
      ...node,
      name: `decoder:${node.name}`,
      inputs: node.inputs.map(own),
      outputs: node.outputs.map(own),
    })),
  };
}
