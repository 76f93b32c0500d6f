"""Python PEFT over transformers, asked by test/bench/bench.ts: JSON lines in, JSON lines out."""

import json
import sys
import time

import peft
import torch
import transformers
from peft import PeftModel
from transformers import AutoModelForCausalLM

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

model = None
files = {}
sequences = {}
scales = {}
attached = 0
optimizer = None


def now():
    return 1000 * time.perf_counter()


def load(ask):
    global model, files
    files = ask["adapters"]
    if ask["threads"] > 0:
        torch.set_num_threads(ask["threads"])
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[ask["precision"]]
    started = now()
    model = AutoModelForCausalLM.from_pretrained(ask["model"], dtype=dtype).eval()
    taken = now() - started
    size = sum(each.numel() * each.element_size() for each in model.parameters())
    for name, folder in ask["adapters"].items():
        if isinstance(model, PeftModel):
            model.load_adapter(folder, adapter_name=name)
        else:
            model = PeftModel.from_pretrained(model, folder, adapter_name=name)
    version = f"peft {peft.__version__}, transformers {transformers.__version__}, torch {torch.__version__}"
    return {"samples": [taken], "version": version, "bytes": size}


def activate(use):
    """Makes adapters active; several add up, each by its weight."""
    if not isinstance(model, PeftModel):
        return
    names = [each["name"] for each in use["adapters"]]
    if not names and "rows" not in use:
        model.base_model.disable_adapter_layers()
        return
    model.base_model.enable_adapter_layers()
    if "rows" in use:
        return
    model.base_model.set_adapter(names)
    changed = [each for each in use["adapters"] if scales.get(each["name"], 1) != each["weight"]]
    for each in changed:
        scales[each["name"]] = each["weight"]
    if changed:
        for module in model.modules():
            if hasattr(module, "set_scale"):
                for each in changed:
                    module.set_scale(each["name"], each["weight"])


def forward(own, ids):
    extra = {"adapter_names": own["rows"]} if own["rows"] else {}
    out = model(
        input_ids=ids, past_key_values=own["cache"], use_cache=True, logits_to_keep=1, **extra
    )
    own["cache"] = out.past_key_values
    return out.logits[:, -1].argmax(-1, keepdim=True)


def begin(prompt, batch, use):
    activate(use)
    own = {"cache": None, "rows": use.get("rows"), "use": use}
    started = now()
    own["next"] = forward(own, torch.tensor([prompt] * batch))
    first = own["next"][0].item()
    return own, now() - started, first


def start(ask):
    own, taken, _ = begin(ask["prompt"], ask["batch"], ask["use"])
    sequences[ask["key"]] = own
    return {"samples": [taken]}


def steps(ask):
    own = sequences[ask["key"]]
    activate(own["use"])
    samples, ids = [], []
    for _ in range(ask["count"]):
        ids.append(own["next"][0].item())
        started = now()
        own["next"] = forward(own, own["next"])
        own["next"][0].item()
        samples.append(now() - started)
    return {"samples": samples, "ids": ids}


def prefill(ask):
    _, taken, first = begin(ask["prompt"], 1, ask["use"])
    return {"samples": [taken], "ids": [first]}


def attach(ask):
    global attached
    attached += 1
    started = now()
    model.load_adapter(files[ask["adapter"]], adapter_name=f"attached{attached}")
    model.base_model.set_adapter(f"attached{attached}")
    taken = now() - started
    model.delete_adapter(f"attached{attached}")
    return {"samples": [taken]}


def timed_activate(ask):
    started = now()
    activate(ask["use"])
    return {"samples": [now() - started]}


def memory(_):
    with open("/proc/self/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    rss, peak, anonymous = (
        int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM", "RssAnon")
    )
    return {"samples": [], "memory": {"rss": rss, "peak": peak, "anonymous": anonymous}}


def train(ask):
    global model, optimizer
    if ask["threads"] > 0:
        torch.set_num_threads(ask["threads"])
    started = now()
    with torch.inference_mode(False):
        base = AutoModelForCausalLM.from_pretrained(ask["model"], dtype=torch.float32)
        model = PeftModel.from_pretrained(base, ask["adapter"], is_trainable=True).train()
    trained = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=ask["learningRate"], weight_decay=0.0)
    version = f"peft {peft.__version__}, transformers {transformers.__version__}, torch {torch.__version__}"
    return {"samples": [now() - started], "version": version}


def learn(ask):
    ids = torch.tensor(ask["ids"])
    samples, processor, losses = [], [], []
    with torch.inference_mode(False), torch.enable_grad():
        for _ in range(ask["count"]):
            started, busy = now(), time.process_time()
            inputs = ids.clone()
            mask = torch.ones_like(inputs)
            loss = model(input_ids=inputs, attention_mask=mask, labels=inputs, use_cache=False).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            samples.append(now() - started)
            processor.append(1000 * (time.process_time() - busy))
    return {"samples": samples, "processor": processor, "losses": losses}


handlers = {
    "load": load,
    "start": start,
    "steps": steps,
    "prefill": prefill,
    "attach": attach,
    "activate": timed_activate,
    "train": train,
    "learn": learn,
    "memory": memory,
}

with torch.inference_mode():
    for line in sys.stdin:
        ask = json.loads(line)
        if ask["do"] == "end":
            break
        if ask["do"] not in handlers:
            answer = {"samples": [], "error": "This party does not do that."}
            print(json.dumps(answer), flush=True)
            continue
        try:
            answer = handlers[ask["do"]](ask)
        except Exception as error:  # said to who asked
            answer = {"samples": [], "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
