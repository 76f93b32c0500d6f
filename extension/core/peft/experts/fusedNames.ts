/**
 * What transformers 4 called the experts' layers, which are parts of two parameters since
 * transformers 5 (PEFT utils/transformers_weight_conversion.py, transformers conversion_mapping.py).
 */

/** An expert's layers by their older names. */
export interface OlderNames {
  readonly gate: string;
  readonly up: string;
  readonly down: string;
  /** What the block was called that is "mlp" now. */
  readonly block: string;
  /** PEFT translates the targets of a config for this family, not just the tensors of a file. */
  readonly translatesTargets: boolean;
}

const mixtral: OlderNames = {
  gate: "w1",
  up: "w3",
  down: "w2",
  block: "block_sparse_moe",
  translatesTargets: true,
};

const qwen: OlderNames = {
  gate: "gate_proj",
  up: "up_proj",
  down: "down_proj",
  block: "mlp",
  translatesTargets: true,
};

/** By `model_type`. PEFT 0.21 has left Qwen2-MoE itself out of its table of targets. */
export const olderNames: Readonly<Record<string, OlderNames>> = {
  mixtral,
  qwen2_moe: { ...qwen, translatesTargets: false },
  qwen3_moe: qwen,
  olmoe: qwen,
};

/** The parameters that the layers are parts of now. */
export const fusedNames = { gateUp: "gate_up_proj", down: "down_proj", router: "gate.weight" };
