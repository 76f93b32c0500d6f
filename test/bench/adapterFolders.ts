import { mkdir, open, writeFile } from "node:fs/promises";
import * as path from "node:path";

/** Folders that hold this many adapters each, as a training run's or a collection's do. */
const perFolder = 100;

const layers = 16;
const [inFeatures, rank] = [576, 8];

/** What PEFT 0.21 writes of a plain LoRA on q_proj and v_proj. */
const config = {
  ...{ alora_invocation_tokens: null, alpha_pattern: {}, arrow_config: null, auto_mapping: null },
  base_model_name_or_path: "HuggingFaceTB/SmolLM2-135M",
  ...{ bias: "none", corda_config: null, ensure_weight_tying: false, eva_config: null },
  ...{ exclude_modules: null, fan_in_fan_out: false, inference_mode: true },
  ...{ init_lora_weights: true, layer_replication: null, layers_pattern: null },
  ...{ layers_to_transform: null, loftq_config: {}, lora_alpha: 16, lora_bias: false },
  ...{ lora_dropout: 0.05, megatron_config: null, megatron_core: "megatron.core" },
  ...{ modules_to_save: null, peft_type: "LORA", peft_version: "0.21.0", qalora_group_size: 16 },
  ...{ r: rank, rank_pattern: {}, revision: null, target_modules: ["q_proj", "v_proj"] },
  ...{ target_parameters: null, task_type: "CAUSAL_LM", trainable_token_indices: null },
  ...{ use_dora: false, use_qalora: false, use_rslora: false },
};

/** Makes adapters whose weights are holes in the file: their headers are whole, their data takes no room. */
export async function makeAdapterFolders(root: string, count: number): Promise<void> {
  const text = `${JSON.stringify(config, null, 2)}\n`;
  const { header, size } = weightsHeader();
  for (let from = 0; from < count; from += perFolder) {
    const length = Math.min(perFolder, count - from);
    await Promise.all(
      Array.from({ length }, async (_, i) => {
        const folder = path.join(root, `run-${from / perFolder}`, `adapter-${from + i}`);
        await mkdir(folder, { recursive: true });
        await writeFile(path.join(folder, "adapter_config.json"), text);
        const file = await open(path.join(folder, "adapter_model.safetensors"), "w");
        await file.write(header);
        await file.truncate(size);
        await file.close();
      }),
    );
  }
}

function weightsHeader(): { header: Buffer; size: number } {
  const entries: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let position = 0;
  for (let layer = 0; layer < layers; layer++) {
    for (const module of ["q_proj", "v_proj"]) {
      for (const part of ["lora_A", "lora_B"]) {
        const name = `base_model.model.model.layers.${layer}.self_attn.${module}.${part}.weight`;
        const shape = part === "lora_A" ? [rank, inFeatures] : [inFeatures, rank];
        const end = position + rank * inFeatures * 4;
        entries[name] = { dtype: "F32", shape, data_offsets: [position, end] };
        position = end;
      }
    }
  }
  const json = JSON.stringify(entries);
  const padded = Buffer.from(json + " ".repeat((8 - (json.length % 8)) % 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const header = Buffer.concat([length, padded]);
  return { header, size: header.length + position };
}
