"""Writes FOLDER/status.json: what Python PEFT counts and says of every adapter of a golden folder.

    python status.py FOLDER

Each adapter is loaded for inference and, where PEFT allows it, to train on. `sequence` is what is
said after each step of loading, choosing, merging and deleting several adapters.
Needs torch, transformers and peft.
"""

import dataclasses
import json
import sys
import warnings
from pathlib import Path

import peft
import transformers
from peft import PeftModel
from transformers import AutoModelForCausalLM

warnings.simplefilter("ignore")
transformers.logging.set_verbosity_error()
root = Path(sys.argv[1])


def main() -> None:
    cases = {}
    for expected in sorted(root.glob("adapters/*/*/expected.json")):
        truth = json.loads(expected.read_text())
        folder = adapter_folder(expected.parent)
        case = describe(folder, truth)
        if case:
            cases[expected.parent.relative_to(root).as_posix()] = case
    versions = {"peft": peft.__version__, "transformers": transformers.__version__}
    out = {"versions": versions, "cases": cases, "sequence": sequence()}
    (root / "status.json").write_text(json.dumps(out, indent=1) + "\n")


def adapter_folder(folder: Path) -> Path:
    """The folder itself, or its subfolder for an adapter with a name of its own."""
    if (folder / "adapter_config.json").exists():
        return folder
    return next(path.parent for path in folder.glob("*/adapter_config.json"))


def base_model(truth: dict):
    base = AutoModelForCausalLM.from_pretrained(root / truth["model"])
    table = truth["saved_tensors"].get("base_model.model.model.embed_tokens.weight")
    if table and table["shape"][0] > base.config.vocab_size:
        base.resize_token_embeddings(table["shape"][0])
    return base


def describe(folder: Path, truth: dict) -> dict | None:
    case = {}
    for key, is_trainable in (("inference", False), ("training", True)):
        try:
            model = PeftModel.from_pretrained(base_model(truth), folder, is_trainable=is_trainable)
        except (ValueError, RuntimeError, ImportError) as error:
            # Prompts cannot be loaded to train on; a few methods need more than PEFT.
            print(f"{folder}, {key}: {str(error).splitlines()[0]}")
            continue
        case[key] = list(model.get_nb_trainable_parameters())
        if not is_trainable:
            case.update(status_of(model))
    return case or None


def status_of(model) -> dict:
    try:
        status = dataclasses.asdict(model.get_model_status())
    except TypeError:
        return {}  # prompts
    layers = [f"{layer.name.removeprefix('model.')} {layer.module_type}" for layer in model.get_layer_status()]
    return {"status": status, "layers": layers}


def sequence() -> list[dict]:
    steps = []
    base = AutoModelForCausalLM.from_pretrained(root / "models/llama")
    adapters = root / "adapters/llama"
    model = PeftModel.from_pretrained(base, adapters / "lora_modules_to_save", adapter_name="a")

    def note(step: str, **options) -> None:
        status = dataclasses.asdict(model.get_model_status())
        steps.append({"step": step, **options, "status": status})

    note("load", adapter="lora_modules_to_save", name="a")
    model.load_adapter(adapters / "lora_all_linear", "b")
    note("load", adapter="lora_all_linear", name="b")
    model.set_adapter("b")
    note("set", names=["b"])
    model.set_adapter("a", inference_mode=True)
    note("set", names=["a"], inferenceMode=True)
    model.base_model.set_adapter(["a", "b"])
    note("set", names=["a", "b"])
    model.load_adapter(adapters / "lora_default", "c", is_trainable=True)
    note("load", adapter="lora_default", name="c", isTrainable=True)
    model.delete_adapter("b")
    note("delete", names=["b"])
    return steps


main()
