"""Makes golden cases of combined adapters with Python PEFT: OUT/multi/weighted_<case>.

    python combinations.py OUT --models MODELS [--only PATTERN]

Every case holds the sources a/, b/ (c/), the result combo/ of add_weighted_adapter as PEFT saved it,
and the logits of each. Needs torch, transformers and peft.
"""

import argparse
import json
import re
import shutil
import warnings
import zlib
from pathlib import Path

import peft
import torch
from peft import IA3Config, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

qv = ["q_proj", "v_proj"]
plain = {"r": 4, "lora_alpha": 8, "target_modules": qv}
wide = {**plain, "r": 6, "lora_alpha": 3}
ab = [plain, wide]


def cases():
    """Name, configs of the sources, weights, arguments of add_weighted_adapter, further options."""
    two = [0.7, 0.4]
    same = [plain, plain]
    yield "ties", same, two, {"combination_type": "ties", "density": 0.4}
    yield "ties_frequency", [plain] * 3, [1.0, 0.5, 0.8], {"combination_type": "ties", "density": 0.6, "majority_sign_method": "frequency"}
    yield "ties_negative", same, [0.7, -0.4], {"combination_type": "ties", "density": 0.5}
    yield "dare_linear", same, two, {"combination_type": "dare_linear", "density": 0.5}
    yield "dare_ties_frequency", same, two, {"combination_type": "dare_ties", "density": 0.7, "majority_sign_method": "frequency"}
    yield "magnitude_prune_dense", same, two, {"combination_type": "magnitude_prune", "density": 1.0}
    yield "magnitude_prune_empty", same, two, {"combination_type": "magnitude_prune", "density": 0.0}
    yield "ties_dense", same, two, {"combination_type": "ties", "density": 1.0}
    yield "dare_linear_dense", same, two, {"combination_type": "dare_linear", "density": 1.0}
    yield "magnitude_prune_svd", same, two, {"combination_type": "magnitude_prune_svd", "density": 0.3}
    yield "ties_svd_differ", ab, two, {"combination_type": "ties_svd", "density": 0.5}
    yield "ties_svd_frequency", ab, two, {"combination_type": "ties_svd", "density": 0.5, "majority_sign_method": "frequency"}
    yield "dare_ties_svd_differ", ab, two, {"combination_type": "dare_ties_svd", "density": 0.5, "svd_rank": 5}
    yield "dare_linear_svd_negative", ab, [0.7, -0.4], {"combination_type": "dare_linear_svd", "density": 0.5}
    yield "svd_clamp", ab, two, {"combination_type": "svd", "svd_clamp": 0.9, "svd_rank": 3}
    yield "svd_reduced", ab, two, {"combination_type": "svd", "svd_full_matrices": False}
    yield "svd_rank_large", ab, two, {"combination_type": "svd", "svd_rank": 20}
    yield "svd_rslora", [{**plain, "use_rslora": True}, wide], two, {"combination_type": "svd"}
    yield "svd_patterns", [{**plain, "rank_pattern": {"q_proj": 7}, "alpha_pattern": {"v_proj": 20}}, wide], two, {"combination_type": "svd"}
    yield "linear_three_negative", [plain] * 3, [-0.5, 1.2, -0.1], {"combination_type": "linear"}
    yield "linear_zero", same, [0.0, 1.0], {"combination_type": "linear"}
    yield "cat_negative", ab, [0.7, -0.4], {"combination_type": "cat"}
    yield "cat_embedding", [{**plain, "target_modules": ["q_proj", "embed_tokens"]}] * 2, two, {"combination_type": "cat"}
    yield "linear_embedding", [{**plain, "target_modules": ["q_proj", "embed_tokens"]}] * 2, two, {"combination_type": "linear"}
    yield "svd_embedding", [{**plain, "target_modules": ["q_proj", "embed_tokens"]}] * 2, two, {"combination_type": "svd"}
    yield "dare_ties_dora_embedding", [{**plain, "use_dora": True, "target_modules": ["embed_tokens", "q_proj"]}] * 2, two, {"combination_type": "dare_ties", "density": 0.5}
    yield "cat_plain_dora", [plain, {**plain, "use_dora": True}], two, {"combination_type": "cat"}
    yield "linear_dora", [{**plain, "use_dora": True}] * 2, two, {"combination_type": "linear"}
    yield "svd_dora", [{**plain, "use_dora": True}] * 2, two, {"combination_type": "svd"}
    yield "cat_dora_plain", [{**plain, "use_dora": True}, plain], two, {"combination_type": "cat"}
    yield "linear_saved", [{**plain, "modules_to_save": ["lm_head"]}, plain], two, {"combination_type": "linear"}
    yield "cat_targets_differ", [plain, {**plain, "target_modules": ["q_proj", "up_proj"]}], two, {"combination_type": "cat"}
    yield "svd_targets_differ", [plain, {**wide, "target_modules": ["v_proj", "down_proj"]}], two, {"combination_type": "svd"}
    yield "linear_lora_bias", [{**plain, "lora_bias": True}] * 2, two, {"combination_type": "linear"}, {"base": "llama-bias"}
    yield "svd_bias_all", [{**plain, "bias": "all"}, plain], two, {"combination_type": "svd"}, {"base": "llama-bias"}
    yield "ia3", [{}, {}], two, {}, {"config": IA3Config}
    yield "ia3_negative", [{}, {}, {}], [1.5, -0.5, 0.2], {}, {"config": IA3Config}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--only", default="", help="regular expression on the case")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    models = options.models.resolve()
    for name, configs, weights, arguments, *rest in cases():
        if not re.search(options.only, name):
            continue
        folder = options.out.resolve() / "multi" / f"weighted_{name}"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            make(folder, models, configs, weights, arguments, **(rest[0] if rest else {}))
            print(f"{name}: made", flush=True)
        except Exception as error:  # PEFT itself refuses some combinations
            shutil.rmtree(folder, ignore_errors=True)
            print(f"{name}: left out, PEFT says: {type(error).__name__}: {str(error)[:160]}", flush=True)


def make(folder, models, configs, weights, arguments, base="llama", config=LoraConfig) -> None:
    seed = zlib.crc32(folder.name.encode())
    torch.manual_seed(seed)
    names = ["a", "b", "c"][: len(configs)]
    model = AutoModelForCausalLM.from_pretrained(models / base, attn_implementation="eager", dtype=torch.float32)
    model.config.name_or_path = model.name_or_path = f"models/{base}"
    made = [config(task_type="CAUSAL_LM", **each) for each in configs]
    model = get_peft_model(model, made[0], adapter_name="a")
    for name, each in zip(names[1:], made[1:]):
        model.add_adapter(name, each)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Biases of the base are one for all adapters.
            if any(f".{own}" in name for own in names) or (name.endswith("bias") and "bias" in configs[0]):
                parameter += 0.1 * torch.randn_like(parameter)
    folder.mkdir(parents=True)
    model.save_pretrained(folder, selected_adapters=names, save_embedding_layers=False)
    # As it will be read: what saving drops is not in the result.
    fresh = AutoModelForCausalLM.from_pretrained(models / base, attn_implementation="eager", dtype=torch.float32)
    fresh.config.name_or_path = fresh.name_or_path = f"models/{base}"
    model = PeftModel.from_pretrained(fresh, folder / "a", adapter_name="a")
    for name in names[1:]:
        model.load_adapter(folder / name, name)
    torch.manual_seed(seed % 1000)
    model.add_weighted_adapter(names, weights, "combo", **arguments)
    model.save_pretrained(folder, selected_adapters=["combo"], save_embedding_layers=False)
    for card in folder.rglob("README.md"):
        card.unlink()
    ids = torch.randint(3, 120, (2, 12))
    mask = torch.ones_like(ids)
    truth = {"input_ids": ids, "attention_mask": mask}
    for name in [*names, "combo"]:
        model.set_adapter(name)
        with torch.no_grad():
            truth[f"{name}_logits"] = model.eval()(input_ids=ids, attention_mask=mask).logits.contiguous()
    save_file(truth, folder / "expected.safetensors")
    expected = {"peft_version": peft.__version__, "adapters": names, "weights": weights, "combination_type": "linear"}
    expected |= {**arguments, "torch_seed": seed % 1000}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1))


main()
