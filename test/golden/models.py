"""Tiny random base models for golden cases: name -> factory of a transformers config.

    python models.py OUT [--only PATTERN]

writes OUT/<name> (config.json, model.safetensors) for every name. The class is the one of the
config's first architecture, AutoModelForCausalLM's without one. Weights are random with a fixed seed
of the name; norms, biases and other vectors are moved away from their initial values so that a
forgotten one is seen. Every config.json states the versions that made it.
"""

import argparse
import re
import zlib
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, MixtralConfig, OlmoeConfig, Qwen2MoeConfig, Qwen3MoeConfig

sizes = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def dense() -> dict:
    """Relatives of Llama."""
    return {}


def classic() -> dict:
    """GPT-2 and what came before Llama, in the variants that the larger fixtures leave out."""

    def small(make, **fields):
        ends = {key: sizes[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
        return lambda: make(**{"vocab_size": 48, "hidden_size": 16, **ends, **fields})

    counts = {"num_hidden_layers": 2, "num_attention_heads": 4}
    neox = {**counts, "intermediate_size": 24, "max_position_embeddings": 64}
    opt = {**counts, "ffn_dim": 24, "max_position_embeddings": 64}
    falcon = {**counts, "ffn_hidden_size": 24, "max_position_embeddings": 64}
    return {
        "bloom": small(transformers.BloomConfig, n_layer=2, n_head=4),
        "bloom-normed": small(transformers.BloomConfig, hidden_size=18, n_layer=2, n_head=6, apply_residual_connection_post_layernorm=True),
        "falcon-7b": small(transformers.FalconConfig, **falcon, multi_query=True),
        "falcon-rw": small(transformers.FalconConfig, **falcon, alibi=True, multi_query=False, parallel_attn=False, bias=True),
        "falcon-alibi-groups": small(transformers.FalconConfig, **falcon, alibi=True, new_decoder_architecture=True, num_kv_heads=2),
        "falcon-11b": small(transformers.FalconConfig, **falcon, new_decoder_architecture=True, num_kv_heads=2, num_ln_in_parallel_attn=1, bias=True, tie_word_embeddings=False),
        "opt-350m": small(transformers.OPTConfig, **opt, do_layer_norm_before=False, word_embed_proj_dim=12),
        "opt-bare": small(transformers.OPTConfig, **opt, enable_bias=False, layer_norm_elementwise_affine=False, activation_function="gelu", _remove_final_layer_norm=True, tie_word_embeddings=False),
        "neox-serial": small(transformers.GPTNeoXConfig, **neox, use_parallel_residual=False, attention_bias=False, tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 1.0}),
        "phi-qk": small(transformers.PhiConfig, **counts, intermediate_size=24, max_position_embeddings=64, qk_layernorm=True, partial_rotary_factor=0.5),
        "gpt2-scaled": small(transformers.GPT2Config, **counts, n_positions=64, n_inner=24, activation_function="relu", scale_attn_by_inverse_layer_idx=True, reorder_and_upcast_attn=True),
    }


def experts() -> dict:
    """Mixtures of experts."""
    small = {**sizes, "vocab_size": 64, "hidden_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1}
    sparse = {**small, "moe_intermediate_size": 8, "intermediate_size": 24}
    return {
        "mixtral-small": lambda: MixtralConfig(**{**small, "intermediate_size": 12}, num_local_experts=4, num_experts_per_tok=2),
        "qwen2_moe": lambda: Qwen2MoeConfig(
            **{**sparse, "num_hidden_layers": 3},
            num_experts=5,
            num_experts_per_tok=2,
            shared_expert_intermediate_size=12,
            mlp_only_layers=[1],
        ),
        "qwen3_moe": lambda: Qwen3MoeConfig(
            **{**sparse, "num_hidden_layers": 3},
            head_dim=12,
            num_experts=6,
            num_experts_per_tok=3,
            norm_topk_prob=True,
            decoder_sparse_step=2,
        ),
        "olmoe": lambda: OlmoeConfig(**{**small, "intermediate_size": 8}, num_experts=4, num_experts_per_tok=2),
    }


models = {**dense(), **classic(), **experts()}


def make(name: str, folder: Path) -> None:
    config = models[name]()
    torch.manual_seed(zlib.crc32(name.encode()))
    named = getattr(transformers, config.architectures[0]) if config.architectures else None
    model = named(config) if named else AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    for parameter in model.parameters():
        noise = torch.randn_like(parameter)
        parameter.data = parameter.data + noise * (0.2 if parameter.ndim == 1 else 0.1)
    model.config.made_with = f"torch {torch.__version__}, transformers {transformers.__version__}"
    model.eval().save_pretrained(str(folder))
    (folder / "generation_config.json").unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="", help="regular expression on the name")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in models:
        if re.search(options.only, name):
            make(name, options.out / name)
            print(name, flush=True)


if __name__ == "__main__":
    main()
