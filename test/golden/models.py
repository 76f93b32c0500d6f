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
from transformers import AutoModelForCausalLM

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


models = {**dense()}


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
