/**
 * LoRA in training (PEFT tuners/lora/layer.py, Linear.forward): y = W x + s · B A dropout(x). Its
 * variants are files of their own.
 */
import { t } from "@vscode/l10n";
import { unsupported } from "../../base/errors.ts";
import type { Value } from "../../onnx/graph.ts";
import { lora as method } from "../lora.ts";
import { type LoraConfig, loraScale } from "../loraConfig.ts";
import { initializeLora } from "./loraBeginning.ts";
import { trainableTuner, type TrainedLayer } from "./tuner.ts";
import type { ParameterKind } from "./trainable.ts";

export const lora = trainableTuner<LoraConfig>({
  method,
  check: (config, { raw: { file } }) => {
    const refused = ["use_dora", "use_qalora"].find((field) => config[field] === true);
    if (refused) throw unsupported(t('{0}: Graft does not train with "{1}"', file, refused));
  },
  kindOf,
  linear: linearFormula,
  initialize: initializeLora,
  dropout: dropoutOf,
});

/** LoRA+ gives B and embeddings rates of their own (PEFT optimizers/loraplus.py). */
function kindOf(suffix: string): ParameterKind {
  if (suffix === "lora_B.bias") return "bias";
  if (suffix.startsWith("lora_embedding")) return "embedding";
  if (suffix.startsWith("lora_A")) return "a";
  return suffix.startsWith("lora_B") ? "b" : "other";
}

export function dropoutOf(config: LoraConfig): number {
  return typeof config["lora_dropout"] === "number" ? config["lora_dropout"] : 0;
}

function linearFormula(layer: TrainedLayer<LoraConfig>): Value {
  const { g, config, module, file } = layer;
  const { scaling } = loraScale(config, module.path, file);
  const x = layer.dropout(layer.x, dropoutOf(config));
  const down = g.matMulTransposed(x, layer.parameter("lora_A.weight"));
  const up = g.matMulTransposed(down, layer.parameter("lora_B.weight"), scaling);
  if (!config.lora_bias) return g.add(layer.base(), up);
  return g.add(layer.base(), g.add(up, g.scale(layer.parameter("lora_B.bias"), scaling)));
}
