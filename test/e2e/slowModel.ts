// A base with random weights that speaks slowly and never ends by itself, and an adapter for it:
// what is needed to stop, kill and reload in the middle of an answer.
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeSafetensors } from "../../extension/core/safetensors/write.ts";
import { seededRandom } from "../../extension/core/base/random.ts";
import { root } from "./harness.ts";

const hidden = 512;
const inner = 1536;
const layers = 8;
const vocabulary = 1024;

const config = {
  _name_or_path: "slow",
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: hidden,
  intermediate_size: inner,
  num_hidden_layers: layers,
  num_attention_heads: 8,
  num_key_value_heads: 8,
  vocab_size: vocabulary,
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
};

/** Writes base and adapter into a workspace: `slow` and `slow-adapter`. */
export async function writeSlowModel(workspace: string): Promise<void> {
  const random = seededRandom(1);
  const tensor = (name: string, shape: number[], scale = 0.05) => {
    const count = shape.reduce((product, size) => product * size, 1);
    const values = Float32Array.from({ length: count }, () => (random() - 0.5) * scale);
    return { name, dtype: "F32" as const, shape, bytes: new Uint8Array(values.buffer) };
  };
  const ones = (name: string) => {
    const values = new Float32Array(hidden).fill(1);
    return { name, dtype: "F32" as const, shape: [hidden], bytes: new Uint8Array(values.buffer) };
  };
  const tensors = [
    tensor("model.embed_tokens.weight", [vocabulary, hidden]),
    ones("model.norm.weight"),
  ];
  const factors = [];
  for (let layer = 0; layer < layers; layer++) {
    const path = `model.layers.${layer}`;
    for (const name of ["q_proj", "k_proj", "v_proj", "o_proj"]) {
      tensors.push(tensor(`${path}.self_attn.${name}.weight`, [hidden, hidden]));
    }
    tensors.push(tensor(`${path}.mlp.gate_proj.weight`, [inner, hidden]));
    tensors.push(tensor(`${path}.mlp.up_proj.weight`, [inner, hidden]));
    tensors.push(tensor(`${path}.mlp.down_proj.weight`, [hidden, inner]));
    tensors.push(
      ones(`${path}.input_layernorm.weight`),
      ones(`${path}.post_attention_layernorm.weight`),
    );
    // Strong enough to change every answer.
    const adapted = `base_model.model.${path}.mlp.down_proj`;
    factors.push(
      tensor(`${adapted}.lora_A.weight`, [4, inner]),
      tensor(`${adapted}.lora_B.weight`, [hidden, 4], 1),
    );
  }
  const base = join(workspace, "slow");
  const adapter = join(workspace, "slow-adapter");
  mkdirSync(base, { recursive: true });
  mkdirSync(adapter, { recursive: true });
  await writeSafetensors(join(base, "model.safetensors"), tensors);
  await writeSafetensors(join(adapter, "adapter_model.safetensors"), factors);
  writeFileSync(join(base, "config.json"), JSON.stringify(config));
  // Without an end-of-text token an answer goes on until it is stopped.
  const settings = { chat_template: "{% for m in messages %}{{ m['content'] }}{% endfor %}" };
  writeFileSync(join(base, "tokenizer_config.json"), JSON.stringify(settings));
  copyFileSync(join(root, "media/sample/base/tokenizer.json"), join(base, "tokenizer.json"));
  const lora = {
    peft_type: "LORA",
    r: 4,
    lora_alpha: 8,
    target_modules: ["down_proj"],
    base_model_name_or_path: "slow",
    task_type: "CAUSAL_LM",
  };
  writeFileSync(join(adapter, "adapter_config.json"), JSON.stringify(lora));
}
