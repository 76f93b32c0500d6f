"""Loads adapters that Graft saved with Python PEFT, beside the files that they came from.

Argument: a JSON file with {"root", "cases": [{id, model, original, saved, expected, task_ids}],
"tensors"}. Prints one JSON object a line: for a case what PEFT warned of that it does not warn of
with its own files, and how far logits are from those of the original and from the recorded ones;
where PEFT cannot load its own file, why, and what it says of Graft's;
for "tensors", a .bin file, the element types and shapes that torch reads.
"""

import json
import logging
import os
import sys
import warnings

import torch
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

transformers_logging.disable_progress_bar()
logging.disable(logging.WARNING)
torch.set_num_threads(1)


def weights_of(folder):
    file = os.path.join(folder, "adapter_model.safetensors")
    if os.path.exists(file):
        return load_file(file)
    return torch.load(os.path.join(folder, "adapter_model.bin"), weights_only=True)


def open_base(case, folder):
    """The base, its vocabulary resized where the adapter brings embeddings of another size."""
    base = AutoModelForCausalLM.from_pretrained(case["model"], attn_implementation="eager")
    base.config.use_cache = False  # X-LoRA refuses caches
    for name, tensor in weights_of(folder).items():
        is_whole = name.removeprefix("base_model.model.") == "model.embed_tokens.weight"
        if is_whole and tensor.shape[0] != base.config.vocab_size:
            base.resize_token_embeddings(tensor.shape[0])
    return base


def run(case, folder, inputs):
    """Warnings of the load, and logits; with one seed, for what PEFT draws anew at load."""
    base = open_base(case, folder)
    torch.manual_seed(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(base, folder, **case.get("options", {}))
    model.eval()
    more = {"task_ids": torch.tensor(case["task_ids"])} if case.get("task_ids") else {}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logits = model(**inputs, **more).logits.float()
    return {str(each.message).replace(folder, "") for each in caught}, logits


def difference(one, two, mask):
    """Largest absolute difference where tokens are real; rows in front are virtual tokens."""
    if one.shape != two.shape:
        return float("inf")
    front = one.shape[1] - mask.shape[1]
    kept = torch.cat([torch.ones(mask.shape[0], front, dtype=mask.dtype), mask], 1).bool()
    gap = (one - two).abs()[kept].max().item()
    return gap if gap == gap else float("inf")


def said(error):
    return f"{type(error).__name__}: {error}"[:600]


def failure(case, inputs):
    try:
        run(case, case["saved"], inputs)
    except Exception as error:
        return said(error)
    return ""


def truths_of(file):
    """A case's tensors, with those that it shares with the cases beside it (test/golden/compact.py)."""
    truth = load_file(file)
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata() or {}
    names = {key.removeprefix("shared:"): value for key, value in metadata.items() if key.startswith("shared:")}
    if names:
        shared = os.path.join(os.path.dirname(os.path.dirname(file)), "shared.safetensors")
        with safe_open(shared, framework="pt") as opened:
            truth |= {name: opened.get_tensor(place) for name, place in names.items()}
    return truth


def check(case):
    truth = truths_of(case["expected"])
    inputs = {name: truth[name] for name in ("input_ids", "attention_mask")}
    mask = truth["attention_mask"]
    try:
        known, original = run(case, case["original"], inputs)
    except Exception as error:
        return {"original_error": said(error), "saved_error": failure(case, inputs)}
    found, logits = run(case, case["saved"], inputs)
    return {
        "warnings": sorted(found - known),
        "to_original": difference(logits, original, mask),
        "to_recorded": difference(logits, truth["adapter_logits"].float(), mask),
        "original_to_recorded": difference(original, truth["adapter_logits"].float(), mask),
    }


def main():
    with open(sys.argv[1]) as file:
        plan = json.load(file)
    os.chdir(plan["root"])
    for case in plan["cases"]:
        try:
            result = check(case)
        except Exception as error:  # reported as this case's result
            result = {"error": said(error)}
        print(json.dumps({"id": case["id"], **result}), flush=True)
    for mapped in (False, True):
        tensors = torch.load(plan["tensors"], weights_only=True, mmap=mapped)
        types = {name: [str(each.dtype), list(each.shape)] for name, each in tensors.items()}
        print(json.dumps({"id": f"tensors {mapped}", "types": types}), flush=True)


main()
