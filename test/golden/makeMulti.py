"""Makes cases of several adapters at once with Python PEFT, in the layout of multi/.

    python makeMulti.py OUT --golden GOLDEN

GOLDEN holds models/ and adapters/ as the committed fixtures do: an adapter of a case with noise on
its trained parameters is one of the adapters of a new case. `a_then_b_logits` are those with a, then
b active, `mixed_logits` those of a batch with `adapter_names`, PEFT's mixed models are loaded in the
order that their key names. fp32, eager attention, one thread, fixed seeds. Needs torch, transformers
and peft.
"""

import argparse
import json
import shutil
import warnings
from pathlib import Path

import peft
import torch
from peft import AdaLoraConfig, IA3Config, LoHaConfig, LoKrConfig, LoraConfig, MissConfig, OFTConfig
from peft import HiraConfig, PeftMixedModel, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

projections = ["q_proj", "v_proj", "down_proj"]
embedded = ["embed_tokens", "q_proj"]

# Two adapters of one method: a case under adapters/, or a config.
two = {
    "oft_r2": "llama/oft_r2",
    "oft_sizes": (
        OFTConfig(r=4, oft_block_size=0, target_modules=projections),
        OFTConfig(r=0, oft_block_size=32, target_modules=["q_proj"]),
    ),
    "oft_embed": OFTConfig(r=4, oft_block_size=0, target_modules=embedded),
    "boft_n8": "llama/boft_n8",
    "hra": "llama/hra",
    "hra_gs": "llama/hra_gs",
    "ia3_default": "llama/ia3_default",
    "ia3_ff": IA3Config(
        target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]
    ),
    "dora": "llama/dora",
    "dora_embed": "llama/dora_embed",
    "road_2": "llama/road_2",
    "kasa": "llama/kasa",
    "miss_bat": MissConfig(r=8, init_weights="bat", target_modules=projections),
    "glora": "llama/glora",
    "vera": "llama/vera",
    "deft": "llama/deft",
    "hira_embed": HiraConfig(r=4, target_modules=embedded),
    "beft_nobias": "llama/beft_nobias",
    "ln_tuning": "llama/ln_tuning",
    "experts": "mixtral-small/lora_experts_patterns",
}
# Cases whose merged logits are recorded too. OFT's are not: PEFT's merge nests two the other way
# round than its forward does.
merged = {"boft_n8", "dora_embed", "road_2", "kasa", "experts"}

lora = LoraConfig(r=4, target_modules=projections)
mixed = {
    "lora_loha": {"lora": lora, "loha": LoHaConfig(r=2, target_modules=projections)},
    "lora_oft": {
        "lora": lora,
        "oft": OFTConfig(r=4, oft_block_size=0, target_modules=projections),
    },
    "dora_lokr_oft": {
        "dora": LoraConfig(r=4, target_modules=projections, use_dora=True),
        "lokr": LoKrConfig(r=4, target_modules=["q_proj", "o_proj"]),
        "oft": OFTConfig(r=0, oft_block_size=8, target_modules=projections),
    },
    "loha_adalora": {
        "loha": LoHaConfig(r=2, target_modules=projections),
        "adalora": AdaLoraConfig(init_r=4, target_r=2, total_step=10, target_modules=projections),
    },
}

rows = {
    "glora": ({"a": "llama/glora", "b": "llama/glora"}, ["a", "__base__", "b"]),
    "tokens": (
        {"a": "llama/lora_trainable_tokens_list", "b": "llama/lora_trainable_tokens_dict"},
        ["b", "a", "__base__"],
    ),
    "embed": ({"a": "llama/lora_embed_tokens", "b": "llama/lora_r1"}, ["__base__", "b", "a", "a"]),
    "head": ({"a": "llama/lora_target_lm_head", "b": "llama/lora_all_linear"}, ["a", "b", "__base__"]),
    "bias": ({"a": "llama-bias/lora_lora_bias", "b": "llama-bias/lora_default"}, ["a", "b", "__base__"]),
    "alora": ({"a": "llama/alora", "b": "llama/lora_default"}, ["a", "b", "__base__"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--golden", type=Path, required=True)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    maker = Maker(args.out / "multi", args.golden)
    for name, source in two.items():
        maker.two(name, source)
    for name, configs in mixed.items():
        maker.mixed(name, configs)
    for name, (cases, adapter_names) in rows.items():
        maker.rows(name, cases, adapter_names)


class Maker:
    def __init__(self, out: Path, golden: Path) -> None:
        self.out, self.golden = out, golden

    def two(self, name: str, source) -> None:
        folder = self.fresh(f"two_{name}")
        pair = source if isinstance(source, tuple) else (source, source)
        model = [self.adapter(each, folder / key, i + 1) for i, (key, each) in enumerate(zip("ab", pair))][0]
        base, inputs, truths = self.begin(model, 2)
        loaded = PeftModel.from_pretrained(base, folder / "a", adapter_name="a")
        loaded.load_adapter(folder / "b", "b")
        loaded.eval()
        for active in (["a"], ["b"], ["a", "b"], ["b", "a"]):
            try:
                loaded.base_model.set_adapter(active)
                truths["_then_".join(active) + "_logits"] = logits(loaded, inputs)
            except ValueError as refusal:
                print(f"{name}: PEFT refuses {active}: {refusal}")
        if name in merged:
            loaded.base_model.set_adapter(["a", "b"])
            loaded.merge_adapter(["a", "b"])
            truths["a_b_merged_logits"] = logits(loaded, inputs)
            loaded.unmerge_adapter()
            truths["unmerged_logits"] = logits(loaded, inputs)
        write(folder, model, truths, "two active adapters of one method")

    def mixed(self, name: str, configs: dict) -> None:
        folder = self.fresh(f"mixed_{name}")
        for i, (key, config) in enumerate(configs.items()):
            self.adapter(config, folder / key, i + 1, 0.3 if key in ("loha", "lokr", "adalora") else 0.05)
        base, inputs, truths = self.begin("models/llama", 2)
        first, *others = configs
        loaded = PeftMixedModel.from_pretrained(base, folder / first, adapter_name=first)
        for other in others:
            loaded.load_adapter(folder / other, other)
        loaded.eval()
        for active in [[key] for key in configs] + [list(configs)]:
            loaded.set_adapter(active)
            truths["_then_".join(active) + "_logits"] = logits(loaded, inputs)
        write(folder, "models/llama", truths, "PeftMixedModel: nested in the order of loading")

    def rows(self, name: str, cases: dict, adapter_names: list) -> None:
        folder = self.fresh(f"mixed_batch_{name}")
        model = [self.adapter(case, folder / key, i + 1) for i, (key, case) in enumerate(cases.items())][0]
        base, inputs, truths = self.begin(model, len(adapter_names))
        first, *others = cases
        loaded = PeftModel.from_pretrained(base, folder / first, adapter_name=first)
        for other in others:
            loaded.load_adapter(folder / other, other)
        loaded.eval()
        truths["mixed_logits"] = logits(loaded, inputs, adapter_names=adapter_names)
        write(folder, model, truths, "adapter_names per row", {"adapter_names": adapter_names})

    def adapter(self, source, folder: Path, seed: int, noise: float = 0.05) -> str:
        """Saves an adapter with noise on its trained parameters; returns its base."""
        torch.manual_seed(seed)
        if isinstance(source, str):
            case = self.golden / "adapters" / source
            model = json.loads((case / "expected.json").read_text())["model"]
            adapted = PeftModel.from_pretrained(self.base(model), case, is_trainable=True)
        else:
            model = "models/llama"
            adapted = get_peft_model(self.base(model), source)
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.data.add_(torch.randn_like(parameter) * noise)
        adapted.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)
        file = folder / "adapter_config.json"
        config = json.loads(file.read_text()) | {"base_model_name_or_path": model, "inference_mode": True}
        file.write_text(json.dumps(config, indent=2, sort_keys=True))
        return model

    def base(self, model: str):
        path = self.golden / model
        return AutoModelForCausalLM.from_pretrained(
            path, dtype=torch.float32, attn_implementation="eager"
        ).eval()

    def begin(self, model: str, count: int):
        generator = torch.Generator().manual_seed(count)
        base = self.base(model)
        ids = torch.randint(3, base.config.vocab_size, (count, 12), generator=generator)
        mask = torch.ones_like(ids)
        mask[1, -4:] = 0
        truths = {"input_ids": ids, "attention_mask": mask}
        truths["base_logits"] = logits(base, (ids, mask))
        return base, (ids, mask), truths

    def fresh(self, name: str) -> Path:
        folder = self.out / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


def logits(model, inputs, **options) -> torch.Tensor:
    ids, mask = inputs
    positions = torch.arange(ids.shape[1]).expand(ids.shape[0], -1)
    with torch.no_grad():
        result = model(input_ids=ids, attention_mask=mask, position_ids=positions, **options)
    return result.logits.float().contiguous().clone()


def write(folder: Path, model: str, truths: dict, note: str, rest: dict = {}) -> None:
    base = truths["base_logits"]
    moved = {
        key: float((value - base).abs().max())
        for key, value in truths.items()
        if key.endswith("_logits") and key != "base_logits"
    }
    expected = {"peft_version": peft.__version__, "note": note, "model": model} | rest
    text = json.dumps(expected | {"max_abs_diff_vs_base": moved}, indent=1)
    (folder / "expected.json").write_text(text)
    save_file({key: value.contiguous() for key, value in truths.items()}, folder / "expected.safetensors")
    print(folder.name, {key: round(value, 3) for key, value in moved.items()}, flush=True)


if __name__ == "__main__":
    main()
