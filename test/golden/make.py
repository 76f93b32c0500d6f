"""Makes golden cases with Python PEFT, in the layout that `npm run test:golden -- DIR` reads.

    python make.py OUT --models MODELS [--only PATTERN]

MODELS holds base models (folders of `save_pretrained`). Every case is what PeftModel.save_pretrained
wrote, with noise on its weights, and what PEFT computes once it is loaded again: fp32, eager
attention, one thread, fixed seeds. The cases are options that the committed fixtures leave out.
Needs torch, transformers and peft; the versions are written into every expected.json.
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
import transformers
from cases import cases
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

noises = (0.05, 0.2, 0.6, 2.0, 6.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--only", default="", help="regular expression on architecture/case")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "models").exists():
        (out / "models").symlink_to(options.models.resolve())
    for arch, name, config, *rest in cases():
        if not re.search(options.only, f"{arch}/{name}"):
            continue
        folder = out / "adapters" / arch / name
        shutil.rmtree(folder, ignore_errors=True)
        try:
            note = make(out, folder, arch, name, config, **(rest[0] if rest else {}))
        except Exception as error:  # PEFT itself refuses some options on some bases
            shutil.rmtree(folder, ignore_errors=True)
            note = f"left out, PEFT says: {type(error).__name__}: {str(error)[:200]}"
        print(f"{arch}/{name}: {note}", flush=True)


def base_model(out: Path, arch: str, rows: int | None = None, dtype=torch.float32):
    folder = str(out / "models" / arch)
    # Falcon's eager attention adds ALiBi's bias twice, its default (sdpa) once.
    config = AutoConfig.from_pretrained(folder)
    attention = "sdpa" if getattr(config, "alibi", False) else "eager"
    task = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    model = task.from_pretrained(folder, attn_implementation=attention, dtype=dtype)
    model.config.name_or_path = model.name_or_path = f"models/{arch}"
    # PEFT's class for encoders with decoders asks for what transformers 5 has no more.
    model._prepare_encoder_decoder_kwargs_for_generation = None
    if rows is not None:
        model.resize_token_embeddings(rows)
    return model.eval()


def make(
    out, folder, arch, name, config, scale=1.0, task_ids=None, save=None, rows=None, pads="right", length=12, dtype=torch.float32
) -> str:
    seed = zlib.crc32(f"{arch}/{name}".encode())
    torch.manual_seed(seed)
    base = base_model(out, arch, dtype=dtype)
    batch = inputs(base, seed, pads, length)
    base_logits = run(base, batch, base=True)
    changed = 0.0
    for noise in noises:
        torch.manual_seed(seed)
        model = peft.get_peft_model(base_model(out, arch, rows, dtype), config() if callable(config) else config)
        perturb(model, noise * scale)
        model.eval()
        logits = run(model, batch, task_ids=task_ids)
        comparable = logits[:, -base_logits.shape[1] :, : base_logits.shape[2]]
        changed = float((comparable - base_logits).abs().max())
        if changed > 0.3 or not torch.isfinite(logits).all():
            break
    trained = trainable(model)
    model.save_pretrained(str(folder), **(save or {}))
    (folder / "README.md").unlink(missing_ok=True)
    again = peft.PeftModel.from_pretrained(base_model(out, arch, rows, dtype), str(folder)).eval()
    write(folder, again, batch, out, arch, name, trained, base_logits, task_ids)
    return f"moves logits by {changed:.3f}"


def base_dtype(model):
    """What the base computes in; adapters are fp32 whatever it is."""
    return next(p.dtype for n, p in model.named_parameters() if re.search("embed|wte|shared", n))


def perturb(model, noise: float) -> None:
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.is_floating_point():
            parameter.data += torch.randn_like(parameter) * noise * 0.5


def trainable(model) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def inputs(base, seed: int, pads: str, length: int) -> dict:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, base.config.get_text_config().vocab_size, (2, length), generator=generator)
    mask = torch.ones_like(ids)
    if base.config.is_encoder_decoder:
        mask[1, -4:] = 0
        answer = torch.randint(3, base.config.vocab_size, (2, length), generator=generator)
        answer[:, 0] = base.config.decoder_start_token_id
        return {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": answer}
    if pads == "right":
        mask[1, -4:] = 0
        return {"input_ids": ids, "attention_mask": mask}
    mask[1, :4] = 0
    return {"input_ids": ids, "attention_mask": mask}


@torch.no_grad()
def run(model, batch: dict, base: bool = False, task_ids=None) -> torch.Tensor:
    extra = {} if base or task_ids is None else {"task_ids": torch.tensor(task_ids)}
    return model(**batch, **extra).logits.detach().float()


def forget_lengths(model) -> None:
    """Rotary embeddings whose frequencies follow the longest sequence so far begin anew."""
    for module in model.modules():
        if hasattr(module, "original_max_seq_len") and hasattr(module, "original_inv_freq"):
            module.inv_freq = module.original_inv_freq
            module.max_seq_len_cached = module.original_max_seq_len


@torch.no_grad()
def cached(model, ids: torch.Tensor, count: int = 16) -> torch.Tensor:
    """What transformers' generate makes, with its cache, never ending by itself."""
    limits = {"max_new_tokens": count, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    out = model.generate(input_ids=ids[:1], attention_mask=torch.ones_like(ids[:1]), **limits)
    return out[0, -count:]


@torch.no_grad()
def greedy(model, ids: torch.Tensor, task_ids=None, count: int = 16) -> torch.Tensor:
    extra = {} if task_ids is None else {"task_ids": torch.tensor(task_ids[:1])}
    row = ids[:1]
    config = model.config if hasattr(model, "config") else model.get_base_model().config
    if config.is_encoder_decoder:
        prompt = {"input_ids": row, "attention_mask": torch.ones_like(row)}
        row = torch.full((1, 1), config.decoder_start_token_id)
        for _ in range(count):
            logits = model(**prompt, decoder_input_ids=row, **extra).logits
            row = torch.cat([row, logits[:, -1:].argmax(-1)], dim=1)
        return row[0, -count:].contiguous()
    for _ in range(count):
        logits = model(input_ids=row, attention_mask=torch.ones_like(row), **extra).logits
        row = torch.cat([row, logits[:, -1:].argmax(-1)], dim=1)
    return row[0, -count:].contiguous()


def write(folder, model, batch, out, arch, name, trained, base_logits, task_ids) -> None:
    config = model.peft_config["default"]
    tensors = {**batch, "base_logits": base_logits, "adapter_logits": run(model, batch, task_ids=task_ids)}
    dtype = base_dtype(model)
    tensors["greedy_base"] = greedy(base_model(out, arch, dtype=dtype), batch["input_ids"])
    tensors["greedy_adapter"] = greedy(model, batch["input_ids"], task_ids)
    forget_lengths(model)
    matches = True
    if task_ids is None:
        matches = bool((cached(model, batch["input_ids"]) == tensors["greedy_adapter"]).all())
        forget_lengths(model)
    targeted = sorted(getattr(model.base_model, "targeted_module_names", []))
    parameters = sorted(getattr(model.base_model, "targeted_parameter_names", []))
    parts = {"merge": "refused", "merged_vs_adapter": None}
    try:
        merged = model.merge_and_unload()
        tensors["merged_logits"] = run(merged, batch, base=True)
        parts = {
            "merge": "ok",
            "merged_vs_adapter": float((tensors["merged_logits"] - tensors["adapter_logits"]).abs().max()),
        }
    except Exception as error:
        parts["merge"] = f"refused: {str(error)[:100]}"
    saved = {}
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors_of:
            saved = {key: {"shape": list(tensors_of.get_slice(key).get_shape())} for key in tensors_of.keys()}
            if dtype != torch.float32:
                saved = {key: {**own, "dtype": str(tensors_of.get_tensor(key).dtype)[6:]} for key, own in saved.items()}
    expected = {
        "peft_version": peft.__version__,
        "transformers_version": transformers.__version__,
        "torch_version": torch.__version__,
        "model": f"models/{arch}",
        "case": name,
        "peft_type": str(config.peft_type.value),
        "base_dtype": str(dtype),
        "trainable_parameters": trained,
        "targeted_module_names": targeted,
        "targeted_parameter_names": parameters,
        "saved_tensors": saved,
        "generate_with_cache_matches": matches,
        "note": f"task_ids = {task_ids}" if task_ids else None,
        **parts,
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1))
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "expected.safetensors")


if __name__ == "__main__":
    main()
