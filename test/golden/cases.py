"""The cases of make.py: (base model, name, config or a function that makes it, further options)."""

import torch
from peft import *

lm = {"task_type": "CAUSAL_LM"}
qv = ["q_proj", "v_proj"]
qkvo = ["q_proj", "k_proj", "v_proj", "o_proj"]
mlp = ["gate_proj", "up_proj", "down_proj"]
all_seven = qkvo + mlp


def cases():
    yield from lora()
    yield from low_rank()
    yield from dense()
    yield from others()
    yield from prompts()
    yield from conv1d()
    yield from classic()
    yield from parameters()
    yield from shadow()
    yield from resized()
    yield from experts()
    yield from families()
    yield from seq2seq()


def lora():
    def case(arch, name, **fields):
        return arch, name, lambda: LoraConfig(**{**lm, **fields})

    yield case("llama", "lora_list_full_and_suffix", r=3, lora_alpha=7, target_modules=["model.layers.0.self_attn.q_proj", "down_proj"])
    yield case("llama", "lora_regex_layers", r=4, target_modules=r"model\.layers\.[1]\.(self_attn\.[qk]_proj|mlp\.up_proj)")
    yield case("llama", "lora_dora_rslora_patterns", r=4, lora_alpha=6, use_dora=True, use_rslora=True, target_modules=all_seven, rank_pattern={"q_proj": 6, r"layers\.1\..*down_proj": 2}, alpha_pattern={"v_proj": 16})
    yield case("qwen2", "lora_bias_lora_only", r=4, bias="lora_only", target_modules=["q_proj", "o_proj"])
    yield case("qwen2", "lora_bias_all", r=4, bias="all", target_modules=["k_proj"])
    yield case("llama-bias", "lora_bias_option", r=4, lora_bias=True, target_modules=["q_proj", "v_proj"])
    yield case("llama-bias", "dora_bias_all", r=4, bias="all", use_dora=True, target_modules=["q_proj", "o_proj"])
    yield case("llama-tied", "lora_embed_and_head", r=4, target_modules=["embed_tokens", "q_proj"])
    yield case("llama-tied", "lora_head_saved", r=4, target_modules=["q_proj"], modules_to_save=["lm_head"])
    yield case("llama-tied", "lora_tied_weight_tying", r=4, target_modules=["q_proj"], modules_to_save=["embed_tokens"], ensure_weight_tying=True)
    yield case("llama-tied", "lora_embed_weight_tying", r=4, target_modules=["embed_tokens"], ensure_weight_tying=True)
    yield case("llama-tied", "lora_tokens_weight_tying", r=4, target_modules=["q_proj"], trainable_token_indices=[3, 7, 90], ensure_weight_tying=True)
    yield case("llama", "lora_modules_to_save_mlp", r=4, target_modules=["q_proj"], modules_to_save=["up_proj", "input_layernorm"])
    yield case("llama", "lora_tokens_and_embed_head", r=4, target_modules=["q_proj", "lm_head"], trainable_token_indices={"embed_tokens": [1, 5, 127]})
    yield case("llama", "lora_dora_embed_head", r=4, use_dora=True, target_modules=["embed_tokens", "lm_head", "v_proj"])
    yield case("llama", "lora_exclude_and_layers", r=4, target_modules=qkvo, exclude_modules=["layers.0.self_attn.k_proj"], layers_to_transform=[0], layers_pattern="layers")
    yield case("qwen3", "dora_all", r=5, lora_alpha=3, use_dora=True, target_modules="all-linear")
    yield case("mistral", "rslora_all", r=7, lora_alpha=5, use_rslora=True, target_modules="all-linear")
    yield case("llama", "alora_all", r=4, target_modules=all_seven, alora_invocation_tokens=[5, 9])
    yield case("llama", "lora_replication_three", r=4, target_modules=qv, layer_replication=[[0, 1], [0, 2], [1, 2]])
    yield case("llama", "lora_olora_patterns", r=4, init_lora_weights="olora", target_modules=qv)
    yield case("qwen2", "lora_pissa_all", r=4, lora_alpha=9, init_lora_weights="pissa", target_modules="all-linear")
    yield case("llama", "lora_pissa_rslora", r=4, lora_alpha=3, use_rslora=True, init_lora_weights="pissa", target_modules=mlp)
    yield case("qwen3", "lora_olora_all", r=4, lora_alpha=3, init_lora_weights="olora", target_modules="all-linear")
    yield case("llama", "lora_params_q", r=4, target_modules=["v_proj"], target_parameters=["self_attn.q_proj.weight"])
    yield case("llama", "bdlora_four", r=8, target_modules=["q_proj", "v_proj", "o_proj"], use_bdlora=lora_bd(["q_proj", "v_proj"], ["o_proj"], 4))


def lora_bd(a, b, blocks):
    from peft.tuners.lora.config import BdLoraConfig

    return BdLoraConfig(target_modules_bd_a=a, target_modules_bd_b=b, nblocks=blocks)


def low_rank():
    yield "llama", "adalora_all", lambda: AdaLoraConfig(**lm, init_r=6, target_r=3, lora_alpha=17, total_step=10, target_modules=all_seven)
    yield "qwen2", "adalora_default", lambda: AdaLoraConfig(**lm, total_step=10)
    for arch in ("llama", "qwen2"):
        yield arch, "vera_all_bias", lambda: VeraConfig(**lm, r=11, projection_prng_key=123456789012, save_projection=False, target_modules=all_seven, d_initial=0.7)
        yield arch, "pvera_all", lambda: PveraConfig(**lm, r=9, projection_prng_key=7, save_projection=False, target_modules=mlp)
        yield arch, "randlora_r5_all", lambda: RandLoraConfig(**lm, r=5, randlora_alpha=13, projection_prng_key=99, save_projection=False, target_modules=all_seven)
        yield arch, "unilora_all", lambda: UniLoraConfig(**lm, r=3, theta_d_length=77, proj_seed=5, target_modules=all_seven)
        yield arch, "tinylora_tied", lambda: TinyLoraConfig(**lm, r=3, u=5, weight_tying=0.5, projection_seed=11, save_projection=False, target_modules=all_seven)
    yield "llama", "randlora_saved", lambda: RandLoraConfig(**lm, r=16, save_projection=True, target_modules=["q_proj", "down_proj"])
    yield "llama", "randlora_sparse_all", lambda: RandLoraConfig(**lm, r=6, sparse=True, save_projection=False, target_modules=all_seven)
    yield "llama", "randlora_very_sparse_all", lambda: RandLoraConfig(**lm, r=6, very_sparse=True, save_projection=False, target_modules=mlp)
    yield "llama", "unilora_indices", lambda: UniLoraConfig(**lm, r=4, theta_d_length=50, save_indices=True, target_modules=qv)
    yield "llama", "tinylora_full_tying", lambda: TinyLoraConfig(**lm, r=2, u=7, weight_tying=1.0, target_modules=qkvo)
    yield "llama", "tinylora_no_tying", lambda: TinyLoraConfig(**lm, r=2, u=7, weight_tying=0.0, save_projection=False, target_modules=["q_proj", "up_proj"])
    yield "llama", "vblora_long", lambda: VBLoRAConfig(**lm, r=6, num_vectors=40, vector_length=16, topk=4, target_modules=["q_proj", "up_proj"])
    yield "llama", "vblora_top1_saved", lambda: VBLoRAConfig(**lm, r=2, num_vectors=12, vector_length=8, topk=2, save_only_topk_weights=True, target_modules=mlp)
    yield "llama", "gralora_k4_hybrid", lambda: GraloraConfig(**lm, r=8, hybrid_r=3, gralora_k=4, alpha=5, target_modules=["q_proj", "o_proj", "up_proj"])
    yield "qwen2", "gralora_k2", lambda: GraloraConfig(**lm, r=4, gralora_k=2, target_modules=mlp)
    yield "llama", "delora_patterns", lambda: DeloraConfig(**lm, r=4, delora_lambda=9, rank_pattern={"k_proj": 2}, lambda_pattern={"up_proj": 3}, target_modules=all_seven)
    yield "qwen2", "delora_bias", lambda: DeloraConfig(**lm, r=4, bias="delora_only", target_modules=["q_proj"])
    yield "llama", "hra_all_gs", lambda: HRAConfig(**lm, r=6, apply_GS=True, target_modules=all_seven)
    yield "qwen2", "hra_bias_all", lambda: HRAConfig(**lm, r=4, bias="all", target_modules=qkvo)
    yield "llama", "miss_bat", lambda: MissConfig(**lm, r=8, init_weights="bat", target_modules=["q_proj", "o_proj"])
    yield "llama", "miss_mini_all", lambda: MissConfig(**lm, r=8, mini_r=4, init_weights="mini", target_modules=["q_proj", "o_proj", "up_proj"])
    yield "llama", "miss_odd_r", lambda: MissConfig(**lm, r=7, target_modules=all_seven)
    yield "llama", "psoft_pissa", lambda: PsoftConfig(**lm, r=6, psoft_alpha=9, ab_svd_init="pissa_init", target_modules=qkvo)
    yield "llama", "psoft_mags", lambda: PsoftConfig(**lm, r=6, psoft_mag_a=False, psoft_mag_b=True, target_modules=all_seven)
    yield "llama", "psoft_no_orth", lambda: PsoftConfig(**lm, r=6, psoft_orth=False, target_modules=qv)
    yield "llama", "psoft_neumann_eps", lambda: PsoftConfig(**lm, r=6, use_cayley_neumann=True, num_cayley_neumann_terms=3, cayley_neumann_eps=0.4, target_modules=qv)
    yield "llama", "deft_relu", lambda: DeftConfig(**lm, r=4, decomposition_method="relu", alpha=6, target_modules=all_seven)
    yield "llama", "deft_qr", lambda: DeftConfig(**lm, r=4, decomposition_method="qr", target_modules=all_seven)
    yield "llama", "deft_para", lambda: DeftConfig(**lm, r=4, decomposition_method="qr", para=True, target_modules=qv)
    yield "llama", "deft_para_relu", lambda: DeftConfig(**lm, r=4, decomposition_method="relu", para=True, target_modules=mlp)
    yield "llama", "adamss_all", lambda: AdamssConfig(**lm, r=12, num_subspaces=3, subspace_rank=2, target_modules=all_seven)
    yield "llama", "adamss_dynamic", lambda: AdamssConfig(**lm, r=12, num_subspaces=3, subspace_rank=4, use_dynamic_rank=True, svd_threshold=0.3, target_modules=qv)
    yield "llama", "peanut_depth3", lambda: PeanutConfig(**lm, r=4, depth=3, act_fn="tanh", scaling=1.7, target_modules=all_seven)
    yield "llama", "peanut_gelu", lambda: PeanutConfig(**lm, r=4, depth=2, act_fn="gelu", target_modules=qv)
    yield "llama", "peanut_depth1", lambda: PeanutConfig(**lm, r=4, depth=0, target_modules=qv)
    yield "llama", "osf_patterns", lambda: OSFConfig(**lm, effective_rank=0.25, rank_pattern={"q_proj": 20}, target_modules=all_seven), {"scale": 0.2}
    yield "llama", "osf_full_name", lambda: OSFConfig(**lm, effective_rank=10, target_modules=["down_proj", "k_proj"]), {"scale": 0.2}
    yield "llama", "poly_four", lambda: PolyConfig(**lm, r=4, n_tasks=3, n_skills=4, n_splits=2, target_modules=all_seven), {"task_ids": [0, 1]}
    yield "llama", "lily_wide", lambda: LilyConfig(**lm, r=4, stride_A=1, num_B=3, scaling=1.4, target_modules=all_seven)
    yield "llama", "lily_stride2", lambda: LilyConfig(**lm, r=4, stride_A=2, num_B=2, target_modules=["q_proj", "down_proj"])


def dense():
    for init in ("bat",):
        yield "qwen2", f"miss_{init}_small", lambda: MissConfig(**lm, r=4, init_weights="bat", target_modules=["o_proj"])
    yield "llama", "loha_layers", lambda: LoHaConfig(**lm, r=3, alpha=5, target_modules=all_seven, rank_pattern={"q_proj": 2}, layers_to_transform=[1])
    yield "llama", "lokr_both", lambda: LoKrConfig(**lm, r=4, alpha=3, decompose_both=True, decompose_factor=8, target_modules=all_seven)
    yield "llama", "lokr_factor3", lambda: LoKrConfig(**lm, r=2, alpha=3, decompose_factor=3, target_modules=mlp)
    yield "qwen2", "lokr_both_r1", lambda: LoKrConfig(**lm, r=1, decompose_both=True, target_modules=all_seven)
    yield "llama", "oft_r4_all", lambda: OFTConfig(**lm, r=4, oft_block_size=0, target_modules=all_seven)
    yield "llama", "oft_block8_share", lambda: OFTConfig(**lm, oft_block_size=8, block_share=True, target_modules=mlp)
    yield "llama", "oft_terms7", lambda: OFTConfig(**lm, oft_block_size=16, num_cayley_neumann_terms=7, target_modules=qv)
    yield "qwen2", "oft_bias", lambda: OFTConfig(**lm, oft_block_size=8, bias="oft_only", use_cayley_neumann=False, target_modules=["q_proj", "k_proj"])
    yield "llama", "oft_coft_all", lambda: OFTConfig(**lm, oft_block_size=8, coft=True, eps=0.02, use_cayley_neumann=False, target_modules=all_seven)
    yield "qwen2", "boft_b4", lambda: BOFTConfig(**lm, boft_block_size=4, boft_n_butterfly_factor=1, bias="boft_only", target_modules=["q_proj"])
    yield "llama", "boft_n4", lambda: BOFTConfig(**lm, boft_block_size=0, boft_block_num=4, target_modules=qkvo)
    yield "llama", "shira_r4_all", lambda: ShiraConfig(**lm, r=4, random_seed=3, target_modules=all_seven)
    yield "llama", "c3a_b32", lambda: C3AConfig(**lm, block_size=32, target_modules=all_seven, block_size_pattern={"q_proj": 8})
    yield "qwen2", "c3a_b16_bias", lambda: C3AConfig(**lm, block_size=16, bias="c3a_only", target_modules=["q_proj", "o_proj"])
    yield "llama", "hira_patterns", lambda: HiraConfig(**lm, r=4, target_modules=all_seven, rank_pattern={"o_proj": 7})
    yield "llama", "fourierft_all", lambda: FourierFTConfig(**lm, n_frequency=37, scaling=90.0, target_modules=all_seven, n_frequency_pattern={"k_proj": 11})
    yield "qwen2", "fourierft_seed", lambda: FourierFTConfig(**lm, n_frequency=50, random_loc_seed=4294967300, bias="all", target_modules=["o_proj", "down_proj"])
    for family in ("db2", "sym3", "coif1", "db6", "sym8", "coif3"):
        yield "llama", f"waveft_{family.replace('.', '_')}", lambda family=family: WaveFTConfig(**lm, n_frequency=90, wavelet_family=family, random_loc_seed=5, target_modules=["q_proj", "k_proj", "down_proj"])
    yield "llama", "waveft_proportional_all", lambda: WaveFTConfig(**lm, n_frequency=60, proportional_parameters=True, use_idwt=False, target_modules=all_seven)
    yield "llama", "frod_sparse", lambda: FrodConfig(**lm, sparse_rate=0.1, projection_prng_key=3, target_modules=all_seven)
    yield "llama", "supertuning_top", lambda: SupertuningConfig(**lm, sparsity=0.97, select_top=True, target_modules=all_seven)
    yield "llama", "supertuning_bottom", lambda: SupertuningConfig(**lm, sparsity=0.9, select_top=False, target_modules=qv)
    yield "llama", "supertuning_lora_indices", lambda: SupertuningConfig(**lm, sparsity=0.95, r=3, lora_alpha=5, save_precomputed_indices=True, target_modules=qv)


def others():
    yield "qwen2", "ia3_all", lambda: IA3Config(**lm, target_modules=all_seven, feedforward_modules=["down_proj", "up_proj"])
    yield "qwen2", "ia3_qkv_bias", lambda: IA3Config(**lm, target_modules=["q_proj", "k_proj", "v_proj"], feedforward_modules=["k_proj"])
    yield "llama", "ia3_ff_regex", lambda: IA3Config(**lm, target_modules=r".*(k_proj|down_proj)", feedforward_modules=r".*1.*down_proj")
    for variant in ("road_1", "road_2", "road_4"):
        yield "qwen2", f"{variant}_bias", lambda variant=variant: RoadConfig(**lm, variant=variant, group_size=8, target_modules=qkvo)
    yield "llama", "road_1_all", lambda: RoadConfig(**lm, variant="road_1", group_size=16, target_modules=all_seven)
    yield "qwen2", "beft_default", lambda: BeftConfig(**lm)
    yield "qwen2", "beft_qkv", lambda: BeftConfig(**lm, target_modules=["q_proj", "k_proj", "v_proj"])
    for ab in ("lora", "vector", "constant", "none"):
        for c in ("lora", "vector", "none"):
            yield "llama-bias", f"glora_{ab}_{c}", lambda ab=ab, c=c: GloraConfig(**lm, r=3, config_A_B=ab, config_C=c, config_D_E="vector", target_modules=["q_proj", "down_proj"])
    yield "llama", "glora_constant_de", lambda: GloraConfig(**lm, r=3, config_A_B="constant", config_C="lora", config_D_E="constant", target_modules=["q_proj", "o_proj"])
    yield "qwen3", "ln_default", lambda: LNTuningConfig(**lm)
    yield "qwen3", "ln_q_norm", lambda: LNTuningConfig(**lm, target_modules=["q_norm", "k_norm", "model.norm"])
    yield "llama", "ln_and_head", lambda: LNTuningConfig(**lm, modules_to_save=["lm_head"])
    yield "llama-tied", "tokens_tied", lambda: TrainableTokensConfig(**lm, token_indices=[0, 5, 99])
    yield "llama", "tokens_head", lambda: TrainableTokensConfig(**lm, token_indices=[4, 99], target_modules=["lm_head"])
    for name, maker in (
        ("loha", lambda: LoHaConfig(**lm, r=3, target_modules=["q_proj"], modules_to_save=["lm_head", "norm"])),
        ("ia3", lambda: IA3Config(**lm, modules_to_save=["lm_head"])),
        ("oft", lambda: OFTConfig(**lm, oft_block_size=8, target_modules=["q_proj"], modules_to_save=["embed_tokens"])),
        ("vera", lambda: VeraConfig(**lm, r=5, target_modules=["q_proj"], modules_to_save=["down_proj"])),
        ("hra", lambda: HRAConfig(**lm, r=4, target_modules=["lm_head", "q_proj"])),
        ("fourierft", lambda: FourierFTConfig(**lm, n_frequency=30, target_modules=["lm_head"])),
        ("lokr", lambda: LoKrConfig(**lm, r=3, target_modules=["lm_head", "v_proj"])),
        ("adalora", lambda: AdaLoraConfig(**lm, total_step=10, init_r=4, target_modules=["lm_head", "v_proj"])),
        ("randlora", lambda: RandLoraConfig(**lm, r=8, target_modules=["lm_head", "v_proj"])),
        ("shira", lambda: ShiraConfig(**lm, r=2, target_modules=["lm_head"])),
        ("road", lambda: RoadConfig(**lm, group_size=8, target_modules=["lm_head", "q_proj"])),
        ("vblora", lambda: VBLoRAConfig(**lm, r=2, num_vectors=9, vector_length=32, target_modules=["lm_head", "q_proj"])),
    ):
        yield "llama", f"{name}_head_or_saved", maker
        yield "llama-tied", f"{name}_head_or_saved_tied", maker
    for arch in ("llama-mha", "llama-rope3", "mistral", "qwen3", "llama-tied"):
        for name, maker in (
            ("loha", lambda: LoHaConfig(**lm, r=3, target_modules=all_seven)),
            ("oft", lambda: OFTConfig(**lm, oft_block_size=8, target_modules=qkvo)),
            ("hra", lambda: HRAConfig(**lm, r=4, target_modules=all_seven)),
            ("vera", lambda: VeraConfig(**lm, r=5, target_modules=all_seven)),
            ("ia3", lambda: IA3Config(**lm)),
            ("road", lambda: RoadConfig(**lm, group_size=8)),
            ("fourierft", lambda: FourierFTConfig(**lm, n_frequency=40)),
            ("miss", lambda: MissConfig(**lm, r=4)),
            ("shira", lambda: ShiraConfig(**lm, r=3)),
            ("c3a", lambda: C3AConfig(**lm, block_size=8)),
            ("ln", lambda: LNTuningConfig(**lm)),
            ("vblora", lambda: VBLoRAConfig(**lm, r=2, num_vectors=9, vector_length=8)),
            ("randlora", lambda: RandLoraConfig(**lm, r=6)),
            ("delora", lambda: DeloraConfig(**lm, r=4)),
        ):
            yield arch, f"{name}_defaults", maker


def prompts():
    for arch in ("llama", "qwen3", "llama-mha", "mistral"):
        yield arch, "prompt_v3", lambda: PromptTuningConfig(**lm, num_virtual_tokens=3)
        yield arch, "p_tuning_lstm", lambda: PromptEncoderConfig(**lm, num_virtual_tokens=4, encoder_reparameterization_type="LSTM", encoder_hidden_size=24, encoder_num_layers=2)
        yield arch, "p_tuning_mlp_v1", lambda: PromptEncoderConfig(**lm, num_virtual_tokens=1, encoder_hidden_size=24)
        yield arch, "prefix_projected", lambda: PrefixTuningConfig(**lm, num_virtual_tokens=5, prefix_projection=True, encoder_hidden_size=20)
        yield arch, "cartridge_v6", lambda: CartridgeConfig(**lm, num_virtual_tokens=6, num_frozen_tokens=2)
        yield arch, "adaption_all", lambda: AdaptionPromptConfig(**lm, adapter_len=3, adapter_layers=2)
    yield "llama", "mpt_two_ranks", lambda: MultitaskPromptTuningConfig(**lm, num_virtual_tokens=4, num_tasks=3, num_ranks=2), {"task_ids": [0, 2]}


def parameters():
    def case(arch, name, **fields):
        return arch, f"lora_parameters_{name}", lambda: LoraConfig(**{**lm, **fields})

    yield case("llama", "suffixes", r=4, lora_alpha=8, target_modules=[], target_parameters=["q_proj.weight", "mlp.down_proj.weight"])
    yield case("llama", "beside_modules", r=4, lora_alpha=6, target_modules=["v_proj", "up_proj"], target_parameters=["q_proj.weight", "down_proj.weight"])
    yield case("llama", "beside_default", r=4, target_parameters=["k_proj.weight", "o_proj.weight"])
    yield case("llama", "patterns", r=4, lora_alpha=8, use_rslora=True, target_modules=[], target_parameters=["q_proj.weight", "mlp.down_proj.weight", "gate_proj.weight"], rank_pattern={"q_proj.weight": 2, "layers.1.mlp.down_proj.weight": 6, "gate_proj": 3}, alpha_pattern={"down_proj.weight": 3})
    yield case("llama", "full_names", r=3, target_modules=[], target_parameters=["model.layers.0.self_attn.q_proj.weight", "model.layers.1.mlp.gate_proj.weight"])
    yield case("llama", "olora", r=4, target_modules=[], target_parameters=["q_proj.weight", "down_proj.weight"], init_lora_weights="olora")
    yield case("llama", "not_excluded", r=4, target_modules=["v_proj"], target_parameters=["q_proj.weight"], exclude_modules=["layers.0.self_attn.q_proj"], layers_to_transform=[1])
    yield case("llama", "tokens", r=4, target_modules=["v_proj"], target_parameters=["q_proj.weight"], trainable_token_indices=[3, 5])
    yield case("llama", "repeated_layers", r=4, target_modules=[], target_parameters=["q_proj.weight"], layer_replication=[[0, 2], [1, 2]])
    yield case("llama", "saved_norm", r=4, target_modules=[], target_parameters=["q_proj.weight"], modules_to_save=["norm"])
    yield case("llama-bias", "bias_all", r=3, bias="all", target_modules=["k_proj"], target_parameters=["q_proj.weight", "up_proj.weight"])
    yield case("llama-bias", "bias_lora_only", r=3, bias="lora_only", target_modules=["k_proj"], target_parameters=["q_proj.weight", "up_proj.weight"])
    yield case("llama-tied", "tied_ends", r=3, target_modules=[], target_parameters=["embed_tokens.weight", "q_proj.weight"])
    yield case("llama-tied", "tied_head", r=3, target_modules=[], target_parameters=["lm_head.weight"])
    for arch in ["mistral", "qwen2", "qwen3"]:
        yield case(arch, "mixed", r=4, lora_alpha=6, target_modules=["v_proj"], target_parameters=["q_proj.weight", "mlp.gate_proj.weight", "down_proj.weight"])
    yield "llama", "lora_mica_all", lambda: LoraConfig(**lm, r=4, init_lora_weights="mica", target_modules=["embed_tokens", *all_seven])
    yield "llama", "lora_qalora_unquantized", lambda: LoraConfig(**lm, r=4, use_qalora=True, qalora_group_size=32, target_modules="all-linear")


def experts():
    """Mixtures of experts: parameters by their own names and by those that transformers 4 gave to layers."""

    def case(arch, name, **fields):
        return arch, f"lora_{name}", lambda: LoraConfig(**{**lm, **fields})

    both = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    mixtral = "mixtral-small"
    yield case(mixtral, "all_linear", r=3, lora_alpha=5, target_modules="all-linear")
    yield case(mixtral, "older_names", r=2, lora_alpha=5, use_rslora=True, target_modules=["q_proj", "gate", "w1", "w2", "w3"])
    yield case(mixtral, "older_regex", r=2, target_modules=r".*\.(v_proj|w[123])")
    yield case(mixtral, "router", r=2, target_modules=[], target_parameters=["gate.weight"])
    yield case(mixtral, "router_saved", r=2, target_modules=["o_proj"], modules_to_save=["gate"])
    yield case(mixtral, "experts_one", r=3, target_modules=[], target_parameters=["layers.1.mlp.experts.gate_up_proj"])
    yield case(mixtral, "experts_patterns", r=4, lora_alpha=6, target_modules=["k_proj"], target_parameters=both, rank_pattern={"down_proj": 2, r"layers\.1\.mlp\.experts\.gate_up_proj": 3}, alpha_pattern={"gate_up_proj": 9})
    yield case(mixtral, "experts_repeated", r=2, target_modules=[], target_parameters=both, layer_replication=[[0, 2], [0, 1]])
    yield case(mixtral, "default", r=2)
    yield case(mixtral, "half", r=2, target_modules=["w1", "w2"])
    yield mixtral, "ia3_default", lambda: IA3Config(**lm)
    yield case("qwen2_moe", "all_linear", r=2, target_modules="all-linear")
    yield case("qwen2_moe", "dora_shared", r=2, use_dora=True, target_modules=["q_proj", "gate_proj", "down_proj", "shared_expert_gate"])
    yield case("qwen2_moe", "experts", r=2, lora_alpha=3, target_modules=["v_proj"], target_parameters=[*both, "gate.weight"])
    yield case("qwen3_moe", "all_linear", r=2, target_modules="all-linear")
    yield case("qwen3_moe", "older_names", r=2, target_modules=["o_proj", *mlp])
    yield case("qwen3_moe", "experts", r=3, target_modules=[], target_parameters=both)
    yield case("granitemoe", "experts", r=2, target_modules=["q_proj"], target_parameters=["gate_up_proj", "down_proj", "router.weight"])
    yield case("granitemoe", "all_linear", r=2, target_modules="all-linear")
    yield case("olmoe", "all_linear", r=2, target_modules="all-linear")
    yield "olmoe", "loha", lambda: LoHaConfig(**lm, r=2, alpha=4, target_modules=qkvo)


def resized():
    """Vocabularies that have grown by four: PEFT's user resizes the base, then saves what was resized."""

    def case(arch, name, **fields):
        config = lambda: LoraConfig(**{**lm, "r": 4, "lora_alpha": 8, **fields})
        return arch, f"lora_resized_{name}", config, {"rows": 132, "save": {"save_embedding_layers": True}}

    for arch in ["llama", "llama-tied"]:
        yield case(arch, "tokens", target_modules=["q_proj"], trainable_token_indices=[128, 129, 130, 131, 5])
        yield case(arch, "dora_both_ends", target_modules=["embed_tokens", "lm_head"], use_dora=True)
        yield case(arch, "saved_both_ends", target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"])
    yield case("llama-tied", "embedding", target_modules=["q_proj", "embed_tokens"])
    yield case("llama-tied", "head", target_modules=["q_proj", "lm_head"])


def shadow():
    def case(arch, name, **fields):
        return arch, f"shadow_{name}", lambda: ShadowConfig(**{**lm, "r": 4, "shadow_alpha": 0.8, **fields})

    for arch in ["llama", "llama-bias", "llama-tied", "llama-sharded", "llama-rope3", "mistral", "qwen2", "qwen3"]:
        yield case(arch, "mirror")
        yield case(arch, "sizes", r=3, shadow_num_hidden_layers=3, shadow_hidden_size=32, shadow_intermediate_size=40, shadow_num_attention_heads=2, update_hidden_size=7)
    yield case("llama", "own_table", share_embeddings=False)
    yield case("llama", "heads", shadow_num_attention_heads=8, shadow_num_hidden_layers=2)
    yield case("llama", "one_block", target_modules=["model.layers.1"])
    yield case("llama", "regex", target_modules=r".*\.layers\.0$")
    yield case("llama", "excluded", exclude_modules=["model.layers.0"])
    yield case("llama", "saved_head", modules_to_save=["lm_head"])
    yield case("llama", "saved_table", modules_to_save=["embed_tokens"])
    yield case("qwen3", "deep", shadow_alpha=-0.7, shadow_num_hidden_layers=4, share_embeddings=False)


def classic():
    """GPT-2's relatives: fused, biased and tied layers, ALiBi, tables of positions."""
    attention = {"bloom-normed": ["query_key_value"], "opt-350m": ["q_proj", "v_proj", "project_in", "project_out"]}
    for arch in ["bloom", "bloom-normed", "falcon-7b", "falcon-rw", "falcon-alibi-groups", "falcon-11b", "opt-350m", "opt-bare", "neox-serial", "phi-qk", "gpt2-scaled"]:
        targets = attention.get(arch, "all-linear")
        yield arch, "lora_left_padded", lambda targets=targets: LoraConfig(**lm, r=2, target_modules=targets), {"pads": "left"}

    def case(arch, name, make, **options):
        return arch, name, make, options

    for arch in ["bloom", "opt-350m", "falcon-rw"]:
        yield case(arch, "prefix_tuning", lambda: PrefixTuningConfig(**lm, num_virtual_tokens=3))
        yield case(arch, "ia3_default", lambda: IA3Config(**lm))
    yield case("bloom", "prompt_tuning", lambda: PromptTuningConfig(**lm, num_virtual_tokens=3))
    for arch in ["bloom", "opt-350m"]:
        yield case(arch, "dora_all_linear", lambda: LoraConfig(**lm, r=2, use_dora=True, target_modules="all-linear"))
    for arch in ["bloom", "phi-qk"]:
        yield case(arch, "bias_all", lambda: LoraConfig(**lm, r=2, bias="all", target_modules="all-linear"))
    yield case("phi-qk", "ln_heads", lambda: LNTuningConfig(**lm, target_modules=["q_layernorm", "k_layernorm"]))
    yield case("bloom", "ln_embeddings", lambda: LNTuningConfig(**lm, target_modules=["word_embeddings_layernorm", "ln_f"]))
    yield case("phi-qk", "lora_saved_head", lambda: LoraConfig(**lm, r=2, target_modules=["q_proj", "fc2"], modules_to_save=["lm_head", "final_layernorm"]))
    yield case("phi-qk", "lora_head", lambda: LoraConfig(**lm, r=2, target_modules=["lm_head", "dense"]))
    yield case("neox-serial", "lora_embeddings", lambda: LoraConfig(**lm, r=2, target_modules=["embed_in", "dense"]))
    yield case("opt-350m", "lora_saved_positions", lambda: LoraConfig(**lm, r=2, target_modules=["fc1"], modules_to_save=["embed_positions"]))
    yield case("opt-350m", "vera", lambda: VeraConfig(**lm, r=2, save_projection=False, target_modules=["k_proj", "v_proj", "q_proj", "out_proj"]))
    yield case("gpt2-scaled", "lora_positions", lambda: LoraConfig(**lm, r=2, target_modules=["wpe", "wte", "c_attn"]), pads="left")
    yield case("gpt2-scaled", "saved_positions", lambda: LoraConfig(**lm, r=2, target_modules=["c_attn"], modules_to_save=["wpe"]))
    yield case("gpt2-scaled", "position_tokens", lambda: TrainableTokensConfig(**lm, token_indices=[0, 5, 9], target_modules=["wpe"]))
    for arch in ["neox-serial", "opt-350m", "phi-qk"]:
        yield case(arch, "lora_bf16", lambda: LoraConfig(**lm, r=2, target_modules="all-linear"), dtype=torch.bfloat16)
    yield case("gpt2-scaled", "parameters", lambda: LoraConfig(**lm, r=2, target_modules=["wte"], target_parameters=["c_attn.weight", "c_fc.weight", "wpe.weight"]))


def conv1d():
    """GPT-2, whose layers are stored as [in, out]."""
    layers = ["c_attn", "c_proj", "c_fc"]
    for name, maker in (
        ("lora_patterns", lambda: LoraConfig(**lm, r=4, target_modules=layers, rank_pattern={"c_fc": 2}, alpha_pattern={"mlp.c_proj": 3}, use_rslora=True)),
        ("lora_pissa", lambda: LoraConfig(**lm, r=4, target_modules=layers, init_lora_weights="pissa")),
        ("lora_saved", lambda: LoraConfig(**lm, r=4, target_modules=["c_attn"], modules_to_save=["ln_f", "mlp.c_proj"])),
        ("lora_bias_own", lambda: LoraConfig(**lm, r=4, target_modules=["c_attn"], bias="lora_only")),
        ("lora_tokens", lambda: LoraConfig(**lm, r=4, target_modules=["c_attn"], trainable_token_indices={"wte": [1, 4]})),
        ("lora_option_bias", lambda: LoraConfig(**lm, r=4, target_modules=layers, lora_bias=True)),
        ("ia3", lambda: IA3Config(**lm)),
        ("ia3_all", lambda: IA3Config(**lm, target_modules=layers, feedforward_modules=["c_proj"])),
        ("vera", lambda: VeraConfig(**lm, r=5, target_modules=layers)),
        ("randlora", lambda: RandLoraConfig(**lm, r=6, target_modules=layers)),
        ("fourierft", lambda: FourierFTConfig(**lm, n_frequency=40)),
        ("waveft", lambda: WaveFTConfig(**lm, n_frequency=40)),
        ("hira", lambda: HiraConfig(**lm, r=4, target_modules=layers)),
        ("vblora", lambda: VBLoRAConfig(**lm, r=2, num_vectors=9, vector_length=8)),
        ("unilora", lambda: UniLoraConfig(**lm, r=3, theta_d_length=50, target_modules=layers)),
        ("gralora", lambda: GraloraConfig(**lm, r=4, gralora_k=2, target_modules=layers)),
        ("ln", lambda: LNTuningConfig(**lm, target_modules=["ln_1", "ln_f"])),
        ("tokens", lambda: TrainableTokensConfig(**lm, token_indices=[1, 5], target_modules=["wte"])),
        ("adalora_all", lambda: AdaLoraConfig(**lm, init_r=4, total_step=10, target_modules=layers)),
        ("deft", lambda: DeftConfig(**lm, r=4, target_modules=layers)),
        ("tinylora", lambda: TinyLoraConfig(**lm, r=2, u=5, target_modules=layers)),
        ("frod", lambda: FrodConfig(**lm, sparse_rate=0.1, target_modules=layers)),
        ("pvera", lambda: PveraConfig(**lm, r=5, target_modules=layers)),
        ("cpt_like_prompt", lambda: PromptTuningConfig(**lm, num_virtual_tokens=3)),
        ("cartridge", lambda: CartridgeConfig(**lm, num_virtual_tokens=4)),
        ("p_tuning", lambda: PromptEncoderConfig(**lm, num_virtual_tokens=3, encoder_hidden_size=16)),
    ):
        yield "gpt2", f"{name}_conv1d", maker


def families():
    """Bases of models.py; sequences longer than their windows and original contexts."""
    long = {"length": 18}
    few = {**lm, "r": 2, "lora_alpha": 4}
    for arch in ("gemma", "gemma2-uncapped", "granite-factors", "llama-dynamic", "mistral-heads", "olmo2", "phi3-longrope", "qwen2-windows", "smollm3", "stablelm", "stablelm-parallel", "starcoder2-windows"):
        yield arch, "lora_all_linear", lambda: LoraConfig(**few, target_modules="all-linear"), long
    yield "gemma", "dora_embedding", lambda: LoraConfig(**few, use_dora=True, target_modules=["embed_tokens", "v_proj"])
    yield "gemma", "hira_embedding", lambda: HiraConfig(**lm, r=2, target_modules=["embed_tokens"])
    yield "gemma", "tokens", lambda: TrainableTokensConfig(**lm, token_indices=[3, 7, 40], target_modules=["embed_tokens"])
    yield "gemma", "prompt", lambda: PromptTuningConfig(**lm, num_virtual_tokens=3)
    yield "gemma3-windows", "ln_tuning", lambda: LNTuningConfig(**lm), long
    yield "gemma3-windows", "prefix", lambda: PrefixTuningConfig(**lm, num_virtual_tokens=4), long
    yield "gemma3-pictures", "lora_text", lambda: LoraConfig(**few, target_modules=r".*language_model.*\.(q_proj|v_proj|down_proj)"), long
    yield "olmo2", "ln_all", lambda: LNTuningConfig(**lm, target_modules=["q_norm", "k_norm", "post_feedforward_layernorm", "norm"]), long
    yield "olmo2", "prefix", lambda: PrefixTuningConfig(**lm, num_virtual_tokens=3)
    yield "phi3-longrope", "dora_across", lambda: LoraConfig(**few, use_dora=True, target_modules=["qkv_proj", "gate_up_proj"])
    yield "phi3-longrope", "prompt_across", lambda: PromptTuningConfig(**lm, num_virtual_tokens=2)
    yield "qwen2-windows", "prefix", lambda: PrefixTuningConfig(**lm, num_virtual_tokens=4), long
    yield "stablelm-parallel", "lora_norms_saved", lambda: LoraConfig(**few, target_modules=["q_proj"], bias="all", modules_to_save=["q_layernorm.norms.1", "input_layernorm"])


def seq2seq():
    """T5; prompts are longer than the distances that have buckets of their own."""
    task = {"task_type": "SEQ_2_SEQ_LM"}
    few = {**task, "r": 2, "lora_alpha": 4}
    long = {"length": 30}
    yield "t5-plain", "lora_all_linear", lambda: LoraConfig(**few, target_modules="all-linear"), long
    yield "t5-plain", "lora_head_saved", lambda: LoraConfig(**few, modules_to_save=["lm_head"])
    yield "t5-plain", "dora_feed_forward", lambda: LoraConfig(**few, use_dora=True, target_modules=["wi", "wo", "k"])
    yield "t5-plain", "p_tuning_encoder", lambda: PromptEncoderConfig(**task, num_virtual_tokens=2, num_transformer_submodules=1, encoder_hidden_size=8)
    yield "t5-gated", "ia3", lambda: IA3Config(**task)
    yield "t5-gated", "ln_tuning", lambda: LNTuningConfig(**task, target_modules=["layer_norm", "final_layer_norm"])
    yield "t5-gated", "lora_distances", lambda: LoraConfig(**few, target_modules=["relative_attention_bias", "wi_0"]), long
    yield "t5-gated", "prompt", lambda: PromptTuningConfig(**task, num_virtual_tokens=3), long
    yield "mt5-silu", "lora_default", lambda: LoraConfig(**few), long
