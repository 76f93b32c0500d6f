"""Makes fixtures/rope.json: rotary frequencies and factors by transformers' modeling_rope_utils.

    python rope.py fixtures/rope.json
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from transformers import LlamaConfig, Phi3Config
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

lengths = (1, 16, 17, 40, 100)
yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
sixteen = {"short_factor": [1 + i / 8 for i in range(8)], "long_factor": [2 + i * i / 4 for i in range(8)]}
eight = {name: factors[:4] for name, factors in sixteen.items()}

#: name, model_type, fields of config.json
cases = [
    ("linear", "llama", {"rope_parameters": {"rope_type": "linear", "factor": 2.5, "rope_theta": 500000.0}}),
    ("linear of transformers 4", "llama", {"rope_theta": 20000.0, "rope_scaling": {"type": "linear", "factor": 3.0}}),
    ("dynamic", "llama", {"max_position_embeddings": 16, "rope_scaling": {"type": "dynamic", "factor": 2.0}}),
    ("yarn", "llama", {"rope_parameters": yarn}),
    ("yarn by factor alone", "llama", {"rope_theta": 1000000.0, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}}),
    ("yarn, attention factor", "llama", {"rope_parameters": {**yarn, "attention_factor": 0.7, "truncate": False}}),
    ("yarn, mscales", "llama", {"rope_parameters": {**yarn, "mscale": 0.8, "mscale_all_dim": 0.5, "beta_fast": 8, "beta_slow": 2}}),
    ("yarn, shrinking", "llama", {"rope_parameters": {**yarn, "factor": 0.5}}),
    ("yarn, outer length first", "llama", {"rope_parameters": yarn, "original_max_position_embeddings": 24}),
    ("longrope", "llama", {"rope_parameters": {"rope_type": "longrope", "original_max_position_embeddings": 16, **sixteen}}),
    ("longrope, factor", "llama", {"rope_scaling": {"rope_type": "longrope", "factor": 2.0, "original_max_position_embeddings": 40, **sixteen}}),
    ("longrope, attention factor", "llama", {"rope_scaling": {"rope_type": "longrope", "attention_factor": 1.25, "original_max_position_embeddings": 16, **sixteen}}),
    ("su", "phi3", {"original_max_position_embeddings": 16, "rope_scaling": {"type": "su", "original_max_position_embeddings": 40, **sixteen}}),
    ("phi3 yarn is longrope", "phi3", {"original_max_position_embeddings": 16, "rope_scaling": {"type": "yarn", **sixteen}}),
    ("phi3, part", "phi3", {"original_max_position_embeddings": 16, "partial_rotary_factor": 0.5, "rope_scaling": {"type": "longrope", **eight}}),
    ("phi3, length within", "phi3", {"original_max_position_embeddings": 40, "rope_scaling": {"type": "longrope", "original_max_position_embeddings": 16, **sixteen}}),
    ("proportional", "llama", {"rope_parameters": {"rope_type": "proportional", "partial_rotary_factor": 0.4, "factor": 2.0, "rope_theta": 10000.0}}),
    ("llama3", "llama", {"rope_parameters": {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}}),
]


def truth(name: str, kind: str, fields: dict) -> dict:
    raw = {"model_type": kind, "hidden_size": 64, "num_attention_heads": 4, "max_position_embeddings": 64, **fields}
    config = {"llama": LlamaConfig, "phi3": Phi3Config}[kind](**json.loads(json.dumps(raw)), pad_token_id=0)
    make = ROPE_INIT_FUNCTIONS[config.rope_parameters["rope_type"]]
    rows, factors = [], set()
    for length in lengths:
        frequencies, factor = make(config, None, seq_len=torch.tensor(length))
        rows.append([float(value) for value in frequencies])
        factors.add(float(factor))
    (attention,) = factors
    return {"name": name, "config": raw, "attentionFactor": attention, "frequencies": rows}


out = {
    "torch_version": torch.__version__,
    "transformers_version": transformers.__version__,
    "lengths": lengths,
    "cases": [truth(*case) for case in cases],
}
Path(sys.argv[1]).write_text(json.dumps(out) + "\n")
