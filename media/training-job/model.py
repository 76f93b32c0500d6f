"""The frozen base, and the adapter around it as training begins."""

import os
import re

import torch
import transformers
from peft import (
    PeftConfig,
    PeftModel,
    get_peft_model,
    load_peft_weights,
    prepare_model_for_kbit_training,
    set_peft_model_state_dict,
)
from transformers import AutoConfig, BitsAndBytesConfig

CLASSES = {
    "causal": transformers.AutoModelForCausalLM,
    "sequence-classification": transformers.AutoModelForSequenceClassification,
    "token-classification": transformers.AutoModelForTokenClassification,
}


def base_of(job):
    """Folder or Hub id of the base, and its revision on the Hub."""
    base = job["base"]
    if base["id"] is None or os.path.isdir(base["path"]):
        return base["path"], None
    return base["id"], base["revision"]


def open_base(job, arguments):
    name, revision = (arguments.base, None) if arguments.base else base_of(job)
    config = AutoConfig.from_pretrained(name, revision=revision)
    if not job["baseDropout"]:  # the adapter's own stays
        for key, value in config.to_dict().items():
            if re.search("drop", key) and isinstance(value, float):
                setattr(config, key, 0.0)
    config.use_cache = False
    options = {}
    if job["labels"] is not None and config.num_labels != len(job["labels"]):
        config.id2label = dict(enumerate(job["labels"]))
        config.label2id = {label: i for i, label in enumerate(job["labels"])}
        options["ignore_mismatched_sizes"] = True  # the adapter brings the head
    if arguments.attention:
        options["attn_implementation"] = arguments.attention
    dtype = getattr(torch, arguments.dtype)
    if arguments.quantization != "none":
        options["quantization_config"] = quantized(arguments.quantization, dtype)
    rounded = getattr(torch, job["roundedTo"] or arguments.dtype)
    model = CLASSES[job["task"]].from_pretrained(name, revision=revision, config=config, dtype=rounded, **options)
    if arguments.quantization != "none":
        checkpointing = job["arguments"]["gradient_checkpointing"]
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=checkpointing)
    elif rounded != dtype:
        model = model.to(dtype)
    if model.config.pad_token_id is None:
        model.config.pad_token_id = 0  # masked wherever it stands
    return model


def with_adapter(base, folder):
    config = PeftConfig.from_pretrained(folder)
    if not config.is_prompt_learning:
        return PeftModel.from_pretrained(base, folder, is_trainable=True)
    # Those PEFT does not load to train on; it takes their numbers all the same.
    config.inference_mode = False
    model = get_peft_model(base, config)
    set_peft_model_state_dict(model, load_peft_weights(folder, device="cpu"))
    return model


def quantized(kind, dtype):
    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=kind,
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_quant_storage=dtype,  # as FSDP wants it
    )
