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
import types
import warnings

import numpy
import peft
import torch
import transformers
from peft.tuners.frod import model as frod_model

warnings.filterwarnings("ignore")
transformers.logging.disable_progress_bar()
HERE = pathlib.Path(__file__).parent
OUT = HERE / "fixtures" / "trainable.json"
MODELS = HERE / "fixtures" / "models"
PAIR = ["layers.0.self_attn.v_proj", "layers.1.mlp.up_proj"]
STEPS = 3


def case(peft_type, **fields):
    return {"peft_type": peft_type, "task_type": "CAUSAL_LM", **fields}


def pair(peft_type, **fields):
    return case(peft_type, target_modules=PAIR, **fields)


def on(base, fields):
    return {"base": base, **fields}


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
    "adalora_ranks": pair("ADALORA", init_r=4, target_r=2, total_step=5, tfinal=2, lora_alpha=8),
    "pvera": pair("PVERA", r=4, d_initial=0.3),
    "tinylora": pair("TINYLORA", r=3, u=8),
    "tinylora_tied": pair(
        "TINYLORA", r=2, u=6, weight_tying=1.0, init_weights="uniform", save_projection=False
    ),
    "tinylora_embedding": case("TINYLORA", target_modules=["embed_tokens", "q_proj"], r=2, u=6),
    "poly": pair("POLY", r=3, n_tasks=2, n_skills=3, n_splits=2),
    "psoft": pair("PSOFT", r=6, psoft_alpha=12),
    "psoft_series": pair(
        "PSOFT", r=6, use_cayley_neumann=True, cayley_neumann_eps=0.2, psoft_mag_a=False
    ),
    "psoft_free": pair("PSOFT", r=5, psoft_orth=False, ab_svd_init="pissa_init", psoft_alpha=7),
    "osf": case("OSF", target_modules=[*PAIR, "layers.0.mlp.down_proj"], effective_rank=24),
    "adamss": pair("ADAMSS", r=12, num_subspaces=3, subspace_rank=2),
    "adamss_asa": pair(
        "ADAMSS", r=12, num_subspaces=3, subspace_rank=2, use_asa=True, asa_target_subspaces=3,
        init_warmup=0, final_warmup=4, mask_interval=2, asa_schedule_exponent=1.0,
    ),
    "adamss_dynamic": pair(
        "ADAMSS", r=16, num_subspaces=3, subspace_rank=4, use_dynamic_rank=True, svd_threshold=0.6
    ),
    "waveft": pair("WAVEFT", n_frequency=40),
    "waveft_db3": pair(
        "WAVEFT", n_frequency=20, proportional_parameters=True, wavelet_family="db3", init_weights=False
    ),
    "waveft_bare": pair("WAVEFT", n_frequency=30, use_idwt=False),
    "glora": pair("GLORA", r=3),
    "glora_bias": on("llama-bias", pair("GLORA", r=2, init_weights=False, bias="glora_only")),
    "glora_vector": on(
        "llama-bias", pair("GLORA", config_A_B="vector", config_C="vector", config_D_E="vector")
    ),
    "glora_number": on(
        "llama-bias", pair("GLORA", config_A_B="constant", config_C="none", init_weights=False)
    ),
    "peanut": pair("PEANUT", r=3, depth=2, act_fn="gelu", scaling=2.0),
    "deft": pair("DEFT", r=4),
    "deft_qr": pair("DEFT", r=4, decomposition_method="qr", alpha=8, init_weights=False),
    "deft_para": pair("DEFT", r=3, decomposition_method="qr", para=True),
    "unilora": pair("UNILORA", r=3, theta_d_length=50),
    "unilora_stored": pair("UNILORA", r=2, theta_d_length=31, save_indices=True, init_weights=False),
    "lily": case("LILY", target_modules=["v_proj", "up_proj"], r=3, num_B=3, scaling=2.0),
    "lily_stride": case("LILY", target_modules=["q_proj", "o_proj"], r=2, stride_A=2, init_weights=False),
    "frod": case("FROD", target_modules=["q_proj"], sparse_rate=0.05),
    "supertuning": pair("SUPERTUNING", sparsity=0.95),
    "supertuning_lora": pair("SUPERTUNING", sparsity=0.98, select_top=False, r=3),
    "prefix_projection": case(
        "PREFIX_TUNING", num_virtual_tokens=3, prefix_projection=True, encoder_hidden_size=24
    ),
    "p_tuning": case("P_TUNING", num_virtual_tokens=3, encoder_hidden_size=24),
    "p_tuning_lstm": case(
        "P_TUNING",
        num_virtual_tokens=3,
        encoder_hidden_size=12,
        encoder_reparameterization_type="LSTM",
    ),
    "cartridge": case("CARTRIDGE", num_virtual_tokens=3, num_frozen_tokens=1),
    "cpt": case(
        "CPT",
        cpt_token_ids=[5, 9, 17, 23, 5, 40, 17, 31],
        cpt_tokens_type_mask=[1, 2, 3, 4, 5, 6, 7, 8],
        opt_projection_epsilon=0.4,
    ),
    "multitask_prompt": case(
        "MULTITASK_PROMPT_TUNING", num_virtual_tokens=3, num_tasks=2, num_ranks=2
    ),
    "adaption_prompt": case("ADAPTION_PROMPT", adapter_len=3, adapter_layers=1),
    "vblora": pair("VBLORA", r=2, num_vectors=12, vector_length=8, topk=2),
}


# What a case does beside: takes steps, moves ranks, draws nothing, is known up to directions' signs.
HOW = {
    "adalora_ranks": {"steps": 5, "allocates": True},
    "pvera": {"quiet": True},
    "poly": {"quiet": True},
    "adamss": {"signless": True, "steps": 5},
    "adamss_dynamic": {"signless": True},
    "adamss_asa": {"signless": True, "steps": 7, "allocates": True},
}


class KMeans:
    """Stands in for scikit-learn's, which AdaMSS asks for: Lloyd from rows that NumPy chooses."""

    def __init__(self, n_clusters, max_iter, random_state, **_):
        self.count, self.rounds, self.seed = n_clusters, max_iter, random_state

    def fit_predict(self, rows):
        rows = rows.astype(numpy.float64) - rows.mean(axis=0, dtype=numpy.float64)
        random = numpy.random.RandomState(self.seed)
        even = numpy.full(len(rows), 1 / len(rows))
        centres = rows[random.choice(len(rows), size=self.count, replace=False, p=even)]
        labels = None
        for _ in range(self.rounds):
            found = ((rows[:, None] - centres[None]) ** 2).sum(-1).argmin(1)
            if labels is not None and (found == labels).all():
                break
            labels = found
            centres = numpy.stack([rows[labels == i].mean(axis=0) for i in range(self.count)])
        return labels


def stand_in():
    try:
        import sklearn.cluster  # noqa: F401
    except ImportError:
        module = types.ModuleType("sklearn.cluster")
        module.KMeans = KMeans
        sys.modules["sklearn"] = types.ModuleType("sklearn")
        sys.modules["sklearn.cluster"] = module


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


def quieten(model):
    for module in model.modules():
        if hasattr(module, "_reparametrize"):
            module._reparametrize = lambda mean, *_: mean
        if hasattr(module, "module_logits"):
            module.eval()


def truth(config, how):
    torch.manual_seed(0)
    folder = MODELS / config.get("base", "llama")
    base = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    fields = {k: v for k, v in config.items() if k not in ("peft_type", "base")}
    made = peft.PEFT_TYPE_TO_CONFIG_MAPPING[peft.PeftType(config["peft_type"])](**fields)
    torch.manual_seed(42)
    model = peft.get_peft_model(base, made)
    model.train()
    parameters = trained(model)
    begun = {name: told(p) for name, p in parameters.items()}
    if how.get("quiet"):
        quieten(model)
    # Of directions without a sign nothing may depend on one.
    if not how.get("signless"):
        perturb(parameters)
    steps = how.get("steps", STEPS)
    optimizer = torch.optim.AdamW(list(parameters.values()), lr=0.01, weight_decay=0.01)
    losses, gradients = [], {}
    for step in range(steps + 1):
        loss = model(**batch(), **EXTRA.get(config["peft_type"], {})).loss
        losses.append(float(f"{loss.item():.8g}"))
        if step == steps:
            break
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            gradients = {n: told(p.grad) for n, p in parameters.items()}
        optimizer.step()
        if how.get("allocates"):
            model.base_model.update_and_allocate(step)
    tensors = {n: [begun[n], gradients[n], told(p)] for n, p in parameters.items()}
    made = {"config": config, **({"how": how} if how else {}), "losses": losses, "tensors": tensors}
    if how.get("allocates") and config["peft_type"] == "ADALORA":
        pattern = model.peft_config["default"].rank_pattern
        made["ranks"] = {short(name): [int(own) for own in kept] for name, kept in pattern.items()}
    return made


EXTRA = {
    name: {"task_ids": torch.tensor([1, 0])} for name in ("MULTITASK_PROMPT_TUNING", "POLY")
}


def exact_basis(matrices, ridge, made=frod_model._projection_from_weights):
    """FRoD's basis in double precision, and with signs that do not depend on a LAPACK."""
    basis = made([matrix.double() for matrix in matrices], ridge)
    largest = basis.gather(0, basis.abs().argmax(dim=0, keepdim=True))
    return (basis * largest.sign()).float()


frod_model._projection_from_weights = exact_basis


def main():
    torch.set_num_threads(1)
    stand_in()
    names = sys.argv[1:] or list(CASES)
    known = json.loads(OUT.read_text())["cases"] if OUT.exists() else {}
    for name in names:
        try:
            known[name] = truth(CASES[name], HOW.get(name, {}))
        except Exception as error:  # noqa: BLE001
            print(name, type(error).__name__, str(error)[:300])
    known = {name: known[name] for name in CASES if name in known}
    versions = {"peft": peft.__version__, "torch": torch.__version__}
    lines = [f"{json.dumps(n)}:{json.dumps(c, separators=(',', ':'))}" for n, c in known.items()]
    OUT.write_text('{"versions":%s,"cases":{\n%s\n}}\n' % (json.dumps(versions), ",\n".join(lines)))


if __name__ == "__main__":
    main()
