"""
What Python PEFT's initialisations by data begin with: writes dataBeginnings.json beside this file.

    OMP_NUM_THREADS=1 python test/golden/dataBeginnings.py

Of each module, the first numbers of its factors without signs (of a pair of singular vectors both may turn)
and the sum of all magnitudes. LoftQ's rounding is this script's own, since bitsandbytes needs a graphics card.
"""
import dataclasses
import json
import os
import sys
import types

import numpy as np
import peft
import torch
from peft.tuners.lora.config import CordaConfig, EvaConfig, LoraGAConfig

try:
    import attr  # noqa: F401
except ImportError:  # CorDA takes one name of it, which the standard library has too.
    sys.modules["attr"] = types.SimpleNamespace(dataclass=dataclasses.dataclass)
from peft.tuners.lora.corda import preprocess_corda
from peft.tuners.lora.eva import initialize_lora_eva_weights
from peft.tuners.lora.loraga import preprocess_loraga
from peft.utils.loftq_utils import _low_rank_decomposition
from transformers import AutoModelForCausalLM

here = os.path.dirname(os.path.abspath(__file__))
folder = os.path.join(here, "fixtures", "models", "llama")
SEED = 7
attention = ["q_proj", "v_proj"]
CASES = {
    "pissa_niter": dict(target_modules=attention, init_lora_weights="pissa_niter_2"),
    "eva": dict(
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "down_proj"],
        init_lora_weights="eva",
        eva_config=dict(rho=2.0, tau=0.9),
    ),
    "eva_plain": dict(
        target_modules=["q_proj", "v_proj", "up_proj"],
        init_lora_weights="eva",
        rank_pattern={"up_proj": 3},
        eva_config=dict(
            rho=1.5, tau=0.8, use_label_mask=False, whiten=True, adjust_scaling_factors=False
        ),
    ),
    "corda_ipm": dict(target_modules=attention, init_lora_weights="corda"),
    "corda_kpm": dict(
        target_modules=["down_proj", "o_proj"],
        init_lora_weights="corda",
        corda_config=dict(corda_method="kpm"),
        rank_pattern={"o_proj": 2},
    ),
    "lora_ga": dict(target_modules=attention, init_lora_weights="lora_ga", lora_ga_config={}),
    "lora_ga_svd": dict(
        target_modules=["down_proj"],
        init_lora_weights="lora_ga",
        lora_ga_config=dict(direction="ArBr", scale="weight_svd"),
    ),
    "lora_ga_gd": dict(
        target_modules=["up_proj"],
        init_lora_weights="lora_ga",
        lora_ga_config=dict(direction="A2rBr", scale="gd_scale"),
    ),
    "lora_ga_random": dict(
        target_modules=attention,
        init_lora_weights="lora_ga",
        lora_ga_config=dict(direction="random", scale="unit"),
    ),
    "loftq": dict(
        target_modules=attention,
        init_lora_weights="loftq",
        loftq_config=dict(loftq_bits=4, loftq_iter=1),
    ),
    "loftq_twice": dict(
        target_modules=["o_proj"],
        init_lora_weights="loftq",
        loftq_config=dict(loftq_bits=4, loftq_iter=3),
    ),
}
CONFIGS = {"eva_config": EvaConfig, "corda_config": CordaConfig, "lora_ga_config": LoraGAConfig}
# fmt: off
NF4 = np.array([
    -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1,
], dtype=np.float32)
# fmt: on


def texts(vocabulary):
    """Ids and labels: what is learned begins after a third."""
    random = np.random.RandomState(5)
    out = []
    for length in [17, 23, 12, 20, 15, 22]:
        ids = random.randint(3, vocabulary, length).tolist()
        labels = [-100 if i < length // 3 else token for i, token in enumerate(ids)]
        out.append({"ids": ids, "labels": labels})
    return out


def batches(data, size):
    made = []
    for start in range(0, len(data), size):
        part = data[start : start + size]
        longest = max(len(text["ids"]) for text in part)
        fill = lambda key, value: torch.tensor(
            [text[key] + [value] * (longest - len(text[key])) for text in part]
        )
        mask = [[1] * len(text["ids"]) + [0] * (longest - len(text["ids"])) for text in part]
        made.append(
            {
                "input_ids": fill("ids", 0),
                "attention_mask": torch.tensor(mask),
                "labels": fill("labels", -100),
            }
        )
    return made


def nf4(weight):
    flat = weight.numpy().astype(np.float32).reshape(-1)
    blocks = flat.reshape(-1, 64)
    largest = np.abs(blocks).max(axis=1, keepdims=True)
    scaled = blocks / np.where(largest == 0, 1, largest)
    nearest = np.abs(scaled[..., None] - NF4).argmin(axis=-1)
    return torch.from_numpy((NF4[nearest] * largest).reshape(weight.shape))


def loftq(model, config):
    """PEFT's loftq_init with that rounding, of every targeted layer."""
    plain = {key: value for key, value in config.items() if key != "loftq_config"}
    plain["init_lora_weights"] = True
    model = peft.get_peft_model(model, peft.LoraConfig(**plain))
    for module in model.modules():
        if not hasattr(module, "lora_A"):
            continue
        weight = module.get_base_layer().weight.data
        own = config["loftq_config"]
        residual = weight.clone()
        for turn in range(own["loftq_iter"]):
            rounded = nf4(residual)
            made = _low_rank_decomposition(weight - rounded, reduced_rank=module.r["default"])
            residual = weight - made["L"] @ made["R"]
        module.lora_A["default"].weight.data = made["R"]
        module.lora_B["default"].weight.data = made["L"]
        module.get_base_layer().weight.data = rounded
    return model


def summary(tensor):
    flat = tensor.detach().float().abs().flatten()
    return {
        "first": [round(value, 7) for value in flat[:3].tolist()],
        "magnitude": float(flat.double().sum()),
    }


def made(name, fields, data):
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.eval()
    plain = {**{"lora_alpha": 8, "r": 4, "task_type": "CAUSAL_LM"}, **fields}
    own = {key: CONFIGS[key](**plain[key]) for key in CONFIGS if key in plain}
    if name.startswith("corda") and "corda_config" not in own:
        own["corda_config"] = CordaConfig()
    init = fields["init_lora_weights"]
    torch.manual_seed(SEED)
    if init == "loftq":
        return loftq(model, plain)
    config = peft.LoraConfig(**{**plain, **own})
    if init == "corda":
        def run():
            for batch in batches(data, 1):
                model(**{key: batch[key] for key in ["input_ids", "attention_mask"]})

        preprocess_corda(model, config, run_model=run)
    if init == "lora_ga":
        def step():
            for batch in batches(data, 2):
                model(**batch).loss.backward()

        preprocess_loraga(model, config, step)
        model.eval()
    torch.manual_seed(SEED)
    model = peft.get_peft_model(model, config)
    if init == "eva":
        initialize_lora_eva_weights(model, batches(data, 2), show_progress_bar=False)
    return model


def main():
    vocabulary = AutoModelForCausalLM.from_pretrained(folder).config.vocab_size
    data = texts(vocabulary)
    truths = {"peft": peft.__version__, "torch": torch.__version__, "seed": SEED, "texts": data}
    truths["cases"] = {}
    probe = batches(data, 2)[0]
    for name, fields in CASES.items():
        model = made(name, fields, data)
        modules = {
            path.replace("base_model.model.", ""): module
            for path, module in model.named_modules()
            if hasattr(module, "lora_A") and len(module.lora_A) > 0
        }
        chosen = list(modules)[:2] + list(modules)[-1:]
        with torch.no_grad():
            loss = model(**probe).loss.item()
        truths["cases"][name] = {
            "config": {**{"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8}, **fields},
            "ranks": {path: module.r["default"] for path, module in modules.items()},
            "scaling": {path: module.scaling["default"] for path, module in modules.items()},
            "loss": loss,
            "modules": {
                path: {
                    "a": summary(modules[path].lora_A["default"].weight),
                    "b": summary(modules[path].lora_B["default"].weight),
                    "base": summary(modules[path].get_base_layer().weight),
                }
                for path in dict.fromkeys(chosen)
            },
        }
        print(name, loss, truths["cases"][name]["ranks"])
    with open(os.path.join(here, "dataBeginnings.json"), "w") as file:
        json.dump(truths, file, indent=1)


main()
