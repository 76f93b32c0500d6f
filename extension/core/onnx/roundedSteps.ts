/** Activations that PyTorch computes in steps, each rounded to 16 bits. */
import type { Node, Value } from "./graph.ts";
import type { Rounding } from "./rounding.ts";

/** transformers' activations.py: NewGELUActivation ("power") and FastGELUActivation, BLOOM's too ("product"). */
export function roundedGelu(pass: Rounding, node: Node, steps: "power" | "product"): void {
  const [x] = node.inputs as [Value];
  const [output] = node.outputs as [Value];
  const float32 = (value: number): Value => pass.float32(value);
  const step = (op: string, a: Value, b: Value): Value => pass.pushRounded(op, [a, b]);
  const inner = (): Value => {
    if (steps === "power") {
      // PyTorch's pow(x, 3) is two products, each rounded.
      const cubed = step("Mul", step("Mul", x, x), x);
      const sum = step("Add", x, step("Mul", float32(0.044715), cubed));
      return step("Mul", float32(Math.sqrt(2 / Math.PI)), sum);
    }
    const squared = step("Mul", step("Mul", float32(0.044715), x), x);
    return step("Mul", step("Mul", float32(0.79788456), x), step("Add", float32(1), squared));
  };
  const half = step("Mul", float32(0.5), x);
  const curve = step("Add", float32(1), pass.pushRounded("Tanh", [inner()]));
  pass.push("Identity", [step("Mul", half, curve)], {}, output);
}

/** x · sigmoid(alpha · x) in its three steps (QuickGELUActivation). */
export function roundedQuickGelu(pass: Rounding, node: Node, alpha: number): void {
  const [x] = node.inputs as [Value];
  const [output] = node.outputs as [Value];
  const scaled = pass.pushRounded("Mul", [pass.float32(alpha), x]);
  const gate = pass.pushRounded("Sigmoid", [scaled]);
  pass.push("Identity", [pass.pushRounded("Mul", [x, gate])], {}, output);
}
