/**
 * Where a companion is joined to the blocks of a session (CompanionBlock in effect.ts): its state is
 * an input, filled by a run of its own before each run of the model, and so are the small networks.
 */
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import type { BlockHook } from "../../onnx/layerHook.ts";
import type { CompanionBlock, SmallNetwork } from "../effect.ts";
import type { SlotTensor } from "../slots/slotTensors.ts";

/** Name of the input [batch or 1, seq or 1, hidden] that is the state before the first block. */
export const companionState = "companion_state";

/** A gate so far below 0 is shut: the state stays as it is. */
const shut = -1e4;

/** Puts a companion's joints around those blocks of one graph that have them. */
export function companionJoint(
  blocks: ReadonlyMap<string, number>,
): (g: GraphBuilder, path: string) => BlockHook | null {
  let state: Value | null = null;
  return (g, path) => {
    const hidden = blocks.get(path);
    if (hidden === undefined) return null;
    const names = inputNames(path);
    const input = (name: string, shape: readonly (number | string)[]): Value =>
      g.input(name, "float32", shape);
    return {
      enter: (stream) => {
        state ??= input(companionState, ["companion_rows", "companion_seq", hidden]);
        const down = input(names.down, [hidden, `${path}.rank`]);
        const up = input(names.up, [`${path}.rank`, hidden]);
        return g.add(stream, g.matMul(g.matMul(g.sub(stream, state), down), up));
      },
      leave: (stream) => {
        const before = state as Value;
        const candidate = network(g, stream, { path, part: "candidate", hidden });
        const gate = g.sigmoid(network(g, stream, { path, part: "gate", hidden }));
        state = g.add(before, g.mul(gate, g.sub(candidate, before)));
        return stream;
      },
    };
  };
}

function network(
  g: GraphBuilder,
  x: Value,
  { path, part, hidden }: { path: string; part: "candidate" | "gate"; hidden: number },
): Value {
  const names = networkNames(path, part);
  const width = `${path}.width`;
  const inner = g.input(names.inner, "float32", [hidden, width]);
  const innerBias = g.input(names.innerBias, "float32", [width]);
  const outer = g.input(names.outer, "float32", [width, hidden]);
  const outerBias = g.input(names.outerBias, "float32", [hidden]);
  const between = g.gelu(g.add(g.matMul(x, inner), innerBias));
  return g.add(g.matMul(between, outer), outerBias);
}

/** Tensors of all joints; blocks that the active companion leaves alone get neutral ones. */
export function companionTensors(
  blocks: ReadonlyMap<string, number>,
  { own, weight }: { own: ReadonlyMap<string, CompanionBlock>; weight: number },
): SlotTensor[] {
  const [hidden = 0] = blocks.values();
  const tensors = [...blocks].flatMap(([path, size]) =>
    blockTensors(path, own.get(path) ?? neutralBlock(size), { hidden: size, weight }),
  );
  if (blocks.size === 0 || own.size > 0) return tensors;
  return [
    ...tensors,
    { name: companionState, shape: [1, 1, hidden], data: new Float32Array(hidden) },
  ];
}

function blockTensors(
  path: string,
  block: CompanionBlock,
  { hidden, weight }: { hidden: number; weight: number },
): SlotTensor[] {
  const { rank, width, down } = block;
  const up = weight === 1 ? block.up : block.up.map((value) => weight * value);
  const names = inputNames(path);
  return [
    { name: names.down, shape: [hidden, rank], data: down },
    { name: names.up, shape: [rank, hidden], data: up },
    ...(["candidate", "gate"] as const).flatMap((part) => {
      const { inner, innerBias, outer, outerBias } = networkNames(path, part);
      const values = block[part];
      return [
        { name: inner, shape: [hidden, width], data: values.inner },
        { name: innerBias, shape: [width], data: values.innerBias },
        { name: outer, shape: [width, hidden], data: values.outer },
        { name: outerBias, shape: [hidden], data: values.outerBias },
      ];
    }),
  ];
}

function neutralBlock(hidden: number): CompanionBlock {
  const none = new Float32Array(0);
  const network = (value: number): SmallNetwork => ({
    inner: none,
    innerBias: none,
    outer: none,
    outerBias: new Float32Array(hidden).fill(value),
  });
  return { rank: 0, width: 0, down: none, up: none, candidate: network(0), gate: network(shut) };
}

function inputNames(path: string): { down: string; up: string } {
  return { down: `${path}.companion_down`, up: `${path}.companion_up` };
}

function networkNames(path: string, part: string): Record<keyof SmallNetwork, string> {
  const name = `${path}.companion_${part}`;
  return {
    inner: `${name}.inner`,
    innerBias: `${name}.inner_bias`,
    outer: `${name}.outer`,
    outerBias: `${name}.outer_bias`,
  };
}
