"""Loads adapters that Graft trained with Python PEFT, and compares what both compute.

Argument: a JSON file with {"model", "ids", "cases": [{id, folder, logits}]}. Prints one JSON object a
line: how far PEFT's logits are from Graft's, and from those of the base.
"""

import json
import logging
import pathlib
import sys
import warnings

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "golden"))
from trainable import stand_in  # noqa: E402

warnings.filterwarnings("ignore")
transformers_logging.disable_progress_bar()
logging.disable(logging.WARNING)
torch.set_num_threads(1)


def compare(plan, case):
    inputs = {"input_ids": torch.tensor(plan["ids"])}
    base = AutoModelForCausalLM.from_pretrained(plan["model"], dtype=torch.float32)
    with torch.no_grad():
        bare = base(**inputs).logits
    model = PeftModel.from_pretrained(base, case["folder"]).eval()
    more = {"task_ids": torch.tensor([0])} if case["id"].startswith("poly") else {}
    with torch.no_grad():
        logits = model(**inputs, **more).logits
    own = torch.tensor(case["logits"]).view_as(logits)
    to_base = (logits - bare).abs().max().item()
    return {"to_graft": (logits - own).abs().max().item(), "to_base": to_base}


def main():
    stand_in()
    plan = json.loads(pathlib.Path(sys.argv[1]).read_text())
    for case in plan["cases"]:
        try:
            result = compare(plan, case)
        except Exception as error:  # noqa: BLE001
            result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps({"id": case["id"], **result}), flush=True)


main()
