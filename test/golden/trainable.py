"""Truths of training forms: what Python PEFT begins with, computes and learns, as two sums a tensor.

    OMP_NUM_THREADS=1 python test/golden/trainable.py [METHOD ...]

For every case a seed, a new adapter on the tiny llama, numbers added to what is trained (so that no
gradient is trivially zero) and three steps of AdamW. A tensor is told by its norm and by its product
with cos(0.7 i + 0.3). With names only those cases are made anew.
"""

import json
import math
import pathlib
import sys
import warnings

import peft
import torch
import transformers

warnings.filterwarnings("ignore")
transformers.logging.disable_progress_bar()
HERE = pathlib.Path(__file__).parent
OUT = HERE / "fixtures" / "trainable.json"
BASE = HERE / "fixtures" / "models" / "llama"
PAIR = ["layers.0.self_attn.v_proj", "layers.1.mlp.up_proj"]
STEPS = 3


def case(peft_type, _drop=(), **fields):
    return {"peft_type": peft_type, "task_type": "CAUSAL_LM", **fields}


def pair(peft_type, **fields):
    return case(peft_type, target_modules=PAIR, **fields)


CASES = {
    "ia3": case("IA3", target_modules=["v_proj", "down_proj"], feedforward_modules=["down_proj"]),
    "loha": pair("LOHA", r=3, alpha=6),
    "lokr": pair("LOKR", r=2, alpha=4),
    "lokr_full": pair("LOKR", r=16, alpha=4, init_weights="lycoris"),
    "lokr_both": pair("LOKR", r=2, alpha=4, decompose_both=True, decompose_factor=8),
    "adalora": pair("ADALORA", init_r=4, target_r=2, total_step=10, lora_alpha=8),
    "vera": pair("VERA", r=4),
    "vera_seed": pair("VERA", r=4, save_projection=False, projection_prng_key=7, d_initial=0.3),
    "fourierft": pair("FOURIERFT", n_frequency=40, scaling=20),
    "hra": pair("HRA", r=4),
    "hra_gs": pair("HRA", r=3, apply_GS=True),
    "oft": pair("OFT", r=0, oft_block_size=8),
    "oft_exact": pair("OFT", r=4, oft_block_size=0, use_cayley_neumann=False),
    "oft_coft": pair("OFT", r=0, oft_block_size=8, coft=True, eps=0.2),
    "oft_share": pair("OFT", r=0, oft_block_size=8, block_share=True, num_cayley_neumann_terms=4),
    "boft": pair("BOFT", boft_block_size=8),
    "shira": pair("SHIRA", r=1, random_seed=3),
    # One layer: PEFT's backward gives what comes before it a wrong gradient.
    "c3a": case("C3A", target_modules=["layers.1.mlp.up_proj"], block_size=16),
    "miss": pair("MISS", r=6),
    "miss_bat": pair("MISS", r=8, init_weights="bat"),
    "miss_mini": pair("MISS", r=8, mini_r=8, init_weights="mini"),
    "road_1": pair("ROAD", group_size=16),
    "road_2": pair("ROAD", group_size=16, variant="road_2"),
    "road_4": pair("ROAD", group_size=16, variant="road_4"),
    "delora": pair("DELORA", r=4, delora_lambda=9.0),
    "hira": pair("HIRA", r=4),
    "gralora": pair("GRALORA", r=4, gralora_k=2, alpha=8),
    "gralora_hybrid": pair("GRALORA", r=4, gralora_k=2, hybrid_r=2, alpha=8),
    "beft": case("BEFT", target_modules=["v_proj"]),
    "randlora": pair("RANDLORA", r=8, randlora_alpha=16),
    "ln_tuning": case("LN_TUNING"),
    "prompt_tuning": case("PROMPT_TUNING", num_virtual_tokens=3),
    "prompt_tuning_vocabulary": case(
        "PROMPT_TUNING", num_virtual_tokens=4, prompt_tuning_init="SAMPLE_VOCAB"
    ),
    "prefix_tuning": case("PREFIX_TUNING", num_virtual_tokens=3),
    "vblora": pair("VBLORA", r=2, num_vectors=12, vector_length=8, topk=2),
}


def batch():
    ids = torch.tensor([[3 + (37 * i + 11 * row) % 120 for i in range(9)] for row in range(2)])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids.clone()}


def told(tensor):
    values = tensor.detach().double().flatten()
    places = torch.arange(values.numel(), dtype=torch.float64)
    product = (values * torch.cos(0.7 * places + 0.3)).sum().item()
    return [float(f"{values.norm().item():.7g}"), float(f"{product:.7g}")]


def short(name):
    return name.replace(".default", "")


def trained(model):
    return {short(n): p for n, p in model.named_parameters() if p.requires_grad}


def perturb(parameters):
    with torch.no_grad():
        for k, parameter in enumerate(parameters.values()):
            places = torch.arange(parameter.numel(), dtype=torch.float64)
            noise = 0.05 * torch.sin(1.7 * places + 0.9 * k + 0.3)
            parameter.add_(noise.float().view_as(parameter))


def truth(config):
    torch.manual_seed(0)
    base = transformers.AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    fields = {k: v for k, v in config.items() if k != "peft_type"}
    made = peft.PEFT_TYPE_TO_CONFIG_MAPPING[peft.PeftType(config["peft_type"])](**fields)
    torch.manual_seed(42)
    model = peft.get_peft_model(base, made)
    model.train()
    parameters = trained(model)
    begun = {name: told(p) for name, p in parameters.items()}
    perturb(parameters)
    optimizer = torch.optim.AdamW(list(parameters.values()), lr=0.01, weight_decay=0.01)
    losses, gradients = [], {}
    for step in range(STEPS + 1):
        loss = model(**batch(), **EXTRA.get(config["peft_type"], {})).loss
        losses.append(float(f"{loss.item():.8g}"))
        if step == STEPS:
            break
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            gradients = {n: told(p.grad) for n, p in parameters.items()}
        optimizer.step()
    tensors = {n: [begun[n], gradients[n], told(p)] for n, p in parameters.items()}
    return {"config": config, "losses": losses, "tensors": tensors}


EXTRA = {}


def main():
    torch.set_num_threads(1)
    names = sys.argv[1:] or list(CASES)
    known = json.loads(OUT.read_text())["cases"] if OUT.exists() else {}
    for name in names:
        try:
            known[name] = truth(CASES[name])
        except Exception as error:  # noqa: BLE001
            print(name, type(error).__name__, str(error)[:300])
    known = {name: known[name] for name in CASES if name in known}
    versions = {"peft": peft.__version__, "torch": torch.__version__}
    lines = [f"{json.dumps(n)}:{json.dumps(c, separators=(',', ':'))}" for n, c in known.items()]
    OUT.write_text('{"versions":%s,"cases":{\n%s\n}}\n' % (json.dumps(versions), ",\n".join(lines)))


main()
