"""Tiny random base models for golden cases: name -> factory of a transformers config.

    python models.py OUT [--only PATTERN]

writes OUT/<name> (config.json, model.safetensors) for every name. The class is the one of the
config's first architecture, AutoModelForCausalLM's without one. Weights are random with a fixed seed
of the name; norms, biases and other vectors are moved away from their initial values so that a
forgotten one is seen. Every config.json states the versions that made it.
"""

import argparse
import json
import re
import zlib
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, GraniteMoeConfig, MixtralConfig, OlmoeConfig, Qwen2MoeConfig, Qwen3MoeConfig

sizes = {
    "vocab_size": 48,
    "hidden_size": 32,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def dense() -> dict:
    """Relatives of Llama. Sequences of the cases are longer than windows and original contexts here."""
    tied = {**sizes, "tie_word_embeddings": True}
    halves = {"short_factor": [1.0, 1.3], "long_factor": [2.5, 5.0]}
    pictures = transformers.SiglipVisionConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=8, patch_size=4
    )
    types = ["sliding_attention", "full_attention"]
    gemma3_text = {**sizes, "head_dim": 12, "layer_types": types, "sliding_window": 5}
    return {
        "gemma": lambda: transformers.GemmaConfig(**{**sizes, "head_dim": 12, "hidden_act": "gelu"}),
        "gemma2-uncapped": lambda: transformers.Gemma2Config(
            **{**sizes, "head_dim": 12, "sliding_window": 6, "query_pre_attn_scalar": 20},
            attn_logit_softcapping=None,
            final_logit_softcapping=None,
            attention_bias=True,
        ),
        "gemma3-windows": lambda: transformers.Gemma3TextConfig(
            **{**gemma3_text, "query_pre_attn_scalar": 20, "final_logit_softcapping": 4.0},
            rope_parameters={
                "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 50000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1000.0},
            },
        ),
        "gemma3-pictures": lambda: transformers.Gemma3Config(
            text_config=transformers.Gemma3TextConfig(**gemma3_text),
            vision_config=pictures,
            mm_tokens_per_image=1,
        ),
        "granite-factors": lambda: transformers.GraniteConfig(
            **tied,
            attention_bias=True,
            mlp_bias=True,
            embedding_multiplier=3.0,
            attention_multiplier=0.2,
            residual_multiplier=0.6,
            logits_scaling=0.5,
        ),
        "llama-dynamic": lambda: transformers.LlamaConfig(
            **{**tied, "max_position_embeddings": 16},
            hidden_act="gelu",
            rope_parameters={"rope_type": "dynamic", "factor": 3.0, "rope_theta": 100.0},
        ),
        "mistral-heads": lambda: transformers.MistralConfig(**{**tied, "head_dim": 12, "sliding_window": 7}),
        "olmo2": lambda: transformers.Olmo2Config(**tied, attention_bias=True),
        "phi3-longrope": lambda: transformers.Phi3Config(
            **tied,
            original_max_position_embeddings=16,
            partial_rotary_factor=0.5,
            sliding_window=9,
            rope_parameters={"rope_type": "longrope", "rope_theta": 100.0, **halves},
        ),
        "qwen2-windows": lambda: transformers.Qwen2Config(
            **tied,
            use_sliding_window=True,
            sliding_window=6,
            max_window_layers=1,
            rope_parameters={"rope_type": "yarn", "factor": 4.0, "rope_theta": 100.0, "original_max_position_embeddings": 16},
        ),
        "smollm3": lambda: transformers.SmolLM3Config(
            **sizes, no_rope_layer_interval=2, use_sliding_window=True, sliding_window=6
        ),
        "stablelm": lambda: transformers.StableLmConfig(**tied, partial_rotary_factor=0.5),
        "stablelm-parallel": lambda: transformers.StableLmConfig(
            **tied, use_qkv_bias=True, qk_layernorm=True, use_parallel_residual=True
        ),
        "starcoder2-windows": lambda: transformers.Starcoder2Config(**tied, use_bias=False, sliding_window=6, hidden_act="relu"),
    }


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
        "granitemoe": lambda: GraniteMoeConfig(
            **{**small, "intermediate_size": 8},
            num_local_experts=4,
            num_experts_per_tok=2,
            embedding_multiplier=1.5,
            attention_multiplier=0.4,
            residual_multiplier=0.7,
            logits_scaling=2.0,
        ),
        "olmoe": lambda: OlmoeConfig(**{**small, "intermediate_size": 8}, num_experts=4, num_experts_per_tok=2),
    }


def seq2seq() -> dict:
    """T5 in its two forms; prompts of the cases reach beyond the distances that have buckets here."""

    def small(make=transformers.T5Config, **fields):
        common = {"vocab_size": 48, "d_model": 16, "d_kv": 6, "d_ff": 24, "num_heads": 2}
        buckets = {"relative_attention_num_buckets": 8, "relative_attention_max_distance": 12}
        ends = {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}
        config = make(**common, **buckets, **ends, **fields)
        config.architectures = [make.__name__.replace("Config", "ForConditionalGeneration")]
        return config

    return {
        "t5-plain": lambda: small(num_layers=3, num_decoder_layers=2),
        "t5-gated": lambda: small(num_layers=2, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
        "mt5-silu": lambda: small(transformers.MT5Config, num_layers=2, feed_forward_proj="gated-silu"),
    }


models = {**dense(), **classic(), **experts(), **seq2seq()}


def make(name: str, folder: Path) -> None:
    config = models[name]()
    torch.manual_seed(zlib.crc32(name.encode()))
    named = getattr(transformers, config.architectures[0]) if config.architectures else None
    model = named(config) if named else AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    for parameter in model.parameters():
        noise = torch.randn_like(parameter)
        parameter.data = parameter.data + noise * (0.2 if parameter.ndim == 1 else 0.1)
    if name in ("t5-gated", "mt5-silu"):  # as the files of v1.1: a head of its own, which transformers 5 otherwise ties
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.shared.weight) * 0.3)
    model.config.made_with = f"torch {torch.__version__}, transformers {transformers.__version__}"
    model.eval().save_pretrained(str(folder))
    (folder / "generation_config.json").unlink(missing_ok=True)
    if name == "t5-gated":
        written = json.loads((folder / "config.json").read_text())
        del written["scale_decoder_outputs"]
        (folder / "config.json").write_text(json.dumps({**written, "tie_word_embeddings": False}, indent=2))


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
