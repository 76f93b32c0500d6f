"""Makes bases and their cases anew in smaller sizes, with every other option as it is.

    python shrink.py OUT --fixtures FIXTURES BASE [BASE ...]

For each base OUT/models/BASE has its config with smaller sizes and random weights (models.py), and
OUT/adapters/BASE/<case> for every case of FIXTURES an adapter of the same config with new weights and
truths (make.py); then status.py and compact.py. A base NAME=OTHER takes the weights of OTHER and keeps
the form of its own config.json.
"""

import argparse
import json
import shutil
import warnings
import zlib
from pathlib import Path

import make
import torch
from peft import PeftConfig
from transformers import AutoConfig, AutoModelForCausalLM

smaller = {
    "vocab_size": {128: 48},
    "hidden_size": {64: 32},
    "n_embd": {64: 32},
    "word_embed_proj_dim": {64: 32},
    "intermediate_size": {96: 40, 128: 40, 256: 40},
    "ffn_dim": {96: 40},
    "ffn_hidden_size": {96: 40},
    "head_dim": {16: 8, 32: 12},
}


def make_base(source: Path, folder: Path) -> None:
    config = json.loads((source / "config.json").read_text())
    has_bands = "llama3" in json.dumps([config.get("rope_parameters"), config.get("rope_scaling")])
    for field, sizes in smaller.items():
        # Bands of frequencies want a few of each.
        if field in config and not (field == "head_dim" and has_bands):
            config[field] = sizes.get(config[field], config[field])
    folder.mkdir(parents=True, exist_ok=True)
    # Loading writes the config anew, in the newest form.
    own = json.dumps(config, indent=2) + "\n"
    (folder / "config.json").write_text(own)
    torch.manual_seed(zlib.crc32(folder.name.encode()))
    made = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), attn_implementation="eager")
    for parameter in made.parameters():
        noise = torch.randn_like(parameter)
        parameter.data = parameter.data + noise * (0.2 if parameter.ndim == 1 else 0.1)
    made.eval().save_pretrained(str(folder))
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "config.json").write_text(own)


def config_of(folder: Path):
    config = PeftConfig.from_pretrained(str(folder))
    config.inference_mode = False
    # Prompts take these from the base.
    for field in ("num_layers", "token_dim", "num_attention_heads"):
        if hasattr(config, field):
            setattr(config, field, None)
    if getattr(config, "encoder_hidden_size", None) == 64:
        config.encoder_hidden_size = 32
    return config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--fixtures", type=Path, required=True)
    parser.add_argument("bases", nargs="+")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    out = options.out.resolve()
    for base in options.bases:
        arch, _, other = base.partition("=")
        folder = out / "models" / arch
        make_base(options.fixtures / "models" / arch, folder)
        if other:
            shutil.copy(out / "models" / other / "model.safetensors", folder)
        for case in sorted((options.fixtures / "adapters" / arch).glob("*/adapter_config.json")):
            name = case.parent.name
            target = out / "adapters" / arch / name
            shutil.rmtree(target, ignore_errors=True)
            print(f"{arch}/{name}:", make.make(out, target, arch, name, config_of(case.parent)), flush=True)


if __name__ == "__main__":
    main()
