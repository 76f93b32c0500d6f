import { isVocabulary, weightName } from "../../checkpoint/modules.ts";
import type { TensorData } from "../../safetensors/write.ts";
import type { MethodBase } from "../method.ts";
import { wholeShape } from "../tuner/wholeParameters.ts";
import { peftPrefix } from "./parameters.ts";
import type { ParameterValues, TrainableAdapter } from "./trainable.ts";

/** The names of tables that PEFT looks for (utils/constants.EMBEDDING_LAYER_NAMES). */
const tableNames = ["embed_tokens", "lm_head"];

/**
 * An adapter's tensors as PEFT's save_pretrained names them: those that are stored, copies under a tied
 * head, and the base's table beside an adapter of it where the config targets one by PEFT's names.
 */
export async function savedTensors(
  { parameters, config }: Pick<TrainableAdapter, "parameters" | "config">,
  values: ParameterValues,
  { base, signal }: { base: MethodBase; signal?: AbortSignal | undefined },
): Promise<TensorData[]> {
  const tensors = parameters.flatMap(({ name, shape, isStored, copies = [] }): TensorData[] => {
    const own = values.get(name);
    if (!isStored || !own) return [];
    const bytes = new Uint8Array(own.buffer, own.byteOffset, own.byteLength);
    return [name, ...copies].map((each) => ({ name: each, dtype: "F32", shape, bytes }));
  });
  const { target_modules: targets } = config.raw;
  if (!Array.isArray(targets) || !tableNames.some((name) => targets.includes(name))) return tensors;
  for (const module of base.tree.modules) {
    const prefix = `${peftPrefix}${module.path}.`;
    const isWrapped = parameters.some(({ name }) => name.startsWith(`${prefix}lora_`));
    if (!isVocabulary(module, base.tree) || !isWrapped) continue;
    const table = await base.readTensor(weightName(module), signal);
    if (!table) continue;
    const bytes = new Uint8Array(table.buffer, table.byteOffset, table.byteLength);
    const shape = wholeShape(module, "weight");
    tensors.push({ name: `${prefix}base_layer.weight`, dtype: "F32", shape, bytes });
  }
  return tensors;
}
