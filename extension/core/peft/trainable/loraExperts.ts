import type { Value } from "../../onnx/graph.ts";
import { expertSlots } from "../experts/slots.ts";
import { type LoraConfig, loraScale } from "../loraConfig.ts";
import type { TrainedExperts } from "./tuner.ts";

/**
 * What factors add to experts' rows (lora/layer.py ParamWrapper): A [experts · r, in] counts experts
 * first, B [out, r · experts] ranks.
 */
export function expertsUpdate(experts: TrainedExperts<LoraConfig>): Value {
  const { g, config, file, matrix, target } = experts;
  const { scaling } = loraScale(config, target.name, file);
  const { count, in: inputs, out } = matrix;
  const a = g.reshape(experts.parameter("lora_A.weight"), [count, -1, inputs]);
  const b = g.reshape(experts.parameter("lora_B.weight"), [out, -1, count]);
  const factors = {
    a: g.reshape(g.transpose(a, [1, 0, 2]), [1, -1, inputs]),
    b: g.scale(g.reshape(g.transpose(b, [1, 2, 0]), [1, -1, out]), scaling),
  };
  return expertSlots(() => factors)(g, matrix);
}
