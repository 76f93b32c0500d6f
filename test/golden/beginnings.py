"""
What Python PEFT's new adapters begin with: writes beginnings.json beside this file.

    OMP_NUM_THREADS=1 python test/golden/beginnings.py

Of each tensor its first numbers and the sum of all magnitudes, of the first and the last module: drawn
from one generator, the last shows that every draw before it was made.
"""
import json
import os

import peft
import torch
from transformers import AutoModelForCausalLM

here = os.path.dirname(os.path.abspath(__file__))
models = os.path.join(here, "fixtures", "models")
attention = ["q_proj", "v_proj"]
CASES = {
    "default": dict(target_modules=attention),
    "patterns": dict(target_modules=attention, rank_pattern={"layers.0.self_attn.q_proj": 3}),
    "drawn": dict(target_modules=attention, init_lora_weights=False),
    "gaussian": dict(target_modules=attention, init_lora_weights="gaussian"),
    "orthogonal": dict(target_modules=attention, init_lora_weights="orthogonal"),
    "bias": dict(target_modules=attention, lora_bias=True),
    "drawn_bias": dict(target_modules=attention, lora_bias=True, init_lora_weights=False),
    "embedding": dict(target_modules=["embed_tokens", "q_proj"]),
    "embedding_dora": dict(target_modules=["embed_tokens", "q_proj"], use_dora=True),
    "pissa": dict(target_modules=attention, init_lora_weights="pissa", lora_alpha=16),
    "olora": dict(target_modules=attention, init_lora_weights="olora", lora_alpha=16),
    "mica": dict(target_modules=attention, init_lora_weights="mica"),
    "pissa_dora": dict(target_modules=attention, init_lora_weights="pissa", use_dora=True),
    "kasa": dict(target_modules=attention, kasa_config={}),
    "bdlora": dict(
        target_modules=["q_proj", "o_proj"],
        use_bdlora=dict(target_modules_bd_a=["o_proj"], target_modules_bd_b=["q_proj"], nblocks=2),
    ),
}


def summary(tensor):
    flat = tensor.detach().float().flatten()
    return {
        "first": [round(value, 7) for value in flat[:4].tolist()],
        "magnitude": float(flat.double().abs().sum()),
    }


def main():
    truths = {"peft": peft.__version__, "torch": torch.__version__, "seed": 7, "cases": {}}
    for name, fields in CASES.items():
        fields = dict(fields)
        if "kasa_config" in fields:
            fields["kasa_config"] = peft.tuners.lora.config.KasaConfig()
        model = AutoModelForCausalLM.from_pretrained(os.path.join(models, "llama"))
        r = fields.pop("r", 4)
        config = peft.LoraConfig(r=r, task_type="CAUSAL_LM", **{"lora_alpha": 8, **fields})
        torch.manual_seed(truths["seed"])
        model = peft.get_peft_model(model, config)
        state = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
        order = [
            each.replace(".default", "")
            for each, parameter in model.named_parameters()
            if parameter.requires_grad
        ]
        modules = list(dict.fromkeys(each.split(".lora_")[0] for each in order))
        chosen = [key for key in state if key.split(".lora_")[0] in (modules[0], modules[-1])]
        raw = config.to_dict()
        kept = {key: raw[key] for key in [*fields, "r", "lora_alpha", "peft_type", "task_type"]}
        for key, value in kept.items():
            if isinstance(value, set):
                kept[key] = sorted(value)
        truths["cases"][name] = {
            "config": kept,
            "order": order[:4],
            "tensors": {key: summary(state[key]) for key in chosen},
        }
    with open(os.path.join(here, "beginnings.json"), "w") as file:
        json.dump(truths, file, indent=1)


main()
