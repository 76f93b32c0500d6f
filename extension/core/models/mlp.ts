import type { LinearModule } from "../onnx/layerHook.ts";
import type { Value } from "../onnx/graph.ts";
import type { Activation } from "./activations.ts";
import type { DecoderShape } from "./decoderShape.ts";

export interface MlpShape {
  readonly hidden: number;
  readonly inner: number;
  readonly hasBias: boolean;
  readonly activation: Activation;
}

export type Mlp = DecoderShape["mlp"];

/** down(activation(gate(x)) · up(x)). */
export function gatedMlp({ hidden, inner, hasBias, activation }: MlpShape): Mlp {
  return (m, { path, x }) => {
    const [gate, up] = m.linearsApart(x, [
      linear(`${path}.gate_proj`, [hidden, inner], hasBias),
      linear(`${path}.up_proj`, [hidden, inner], hasBias),
    ]) as [Value, Value];
    const product = m.g.scope(path, () => m.g.mul(activation(m.g, gate), up));
    return m.linears(product, [linear(`${path}.down_proj`, [inner, hidden], hasBias)]);
  };
}

/** The same with gate and up in one layer, `gate_up_proj`. */
export function fusedMlp({ hidden, inner, hasBias, activation }: MlpShape): Mlp {
  return (m, { path, x }) => {
    const both = m.linears(x, [linear(`${path}.gate_up_proj`, [hidden, 2 * inner], hasBias)]);
    const product = m.g.scope(path, () => {
      const [gate, up] = m.g.split(both, [inner, inner], -1) as [Value, Value];
      return m.g.mul(up, activation(m.g, gate));
    });
    return m.linears(product, [linear(`${path}.down_proj`, [inner, hidden], hasBias)]);
  };
}

/** second(activation(first(x))). */
export function plainMlp(
  { hidden, inner, hasBias, activation }: MlpShape,
  [first, second]: readonly [string, string],
): Mlp {
  return (m, { path, x }) => {
    const opened = m.linears(x, [linear(`${path}.${first}`, [hidden, inner], hasBias)]);
    const active = m.g.scope(path, () => activation(m.g, opened));
    return m.linears(active, [linear(`${path}.${second}`, [inner, hidden], hasBias)]);
  };
}

export function linear(
  path: string,
  [inputs, out]: readonly [number, number],
  hasBias: boolean,
): LinearModule {
  return { kind: "linear", path, in: inputs, out, hasBias };
}
