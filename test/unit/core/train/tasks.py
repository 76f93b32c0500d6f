"""
What Python PEFT's training gives for tasks other than writing on: writes tasks.json beside this file.

    OMP_NUM_THREADS=1 python test/unit/core/train/tasks.py

Bases are the fixtures', their own dropout set to 0. Of each case the losses of some steps, the length of
every tensor's gradient in the first, and of prompts the length of every tensor at the end.
"""
import json
import math
import os

import peft
import torch
import transformers

here = os.path.dirname(os.path.abspath(__file__))
models = os.path.join(here, "..", "..", "..", "golden", "fixtures", "models")
quiet = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, classifier_dropout=0.0)
silent = dict(attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0)

ids = [[3, 17, 9, 22, 5, 1], [11, 4, 8, 1, 0, 0]]
mask = [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]]
answers = [[7, 30, 2, 1], [14, 1, -100, -100]]
words = dict(input_ids=ids, attention_mask=mask)
bert = dict(words, token_type_ids=[[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0]])
roberta = dict(input_ids=[[0, 17, 9, 22, 5, 2], [0, 4, 8, 2, 1, 1]], attention_mask=mask)

CASES = {
    "t5_plain": ("t5-plain", "AutoModelForSeq2SeqLM", dict(dropout_rate=0.0), dict(words, labels=answers), dict(task_type="SEQ_2_SEQ_LM", target_modules=["q", "v", "wo"])),
    "t5_gated": ("t5-gated", "AutoModelForSeq2SeqLM", dict(dropout_rate=0.0), dict(words, labels=answers), dict(task_type="SEQ_2_SEQ_LM", target_modules=["q", "k", "v", "o", "wi_0", "lm_head"])),
    "bert_choice": ("bert-seqcls", "AutoModelForSequenceClassification", quiet, dict(bert, labels=[2, 0]), dict(task_type="SEQ_CLS", target_modules=["query", "value"])),
    "bert_choices": ("bert-seqcls", "AutoModelForSequenceClassification", dict(quiet, problem_type="multi_label_classification"), dict(bert, labels=[[1.0, 0.0, 1.0], [0.0, 0.25, 0.0]]), dict(task_type="SEQ_CLS", target_modules=["query", "value"])),
    "bert_numbers": ("bert-seqcls", "AutoModelForSequenceClassification", dict(quiet, problem_type="regression"), dict(bert, labels=[[0.5, -1.25, 2.0], [1.0, 0.0, -0.5]]), dict(task_type="SEQ_CLS", target_modules=["query", "value"])),
    "roberta_tags": ("roberta-tokencls", "AutoModelForTokenClassification", quiet, dict(roberta, labels=[[-100, 2, -100, 0, 1, -100], [-100, 1, 1, -100, -100, -100]]), dict(task_type="TOKEN_CLS", target_modules=["query", "value"])),
    "llama_spans": ("llama-qa", "AutoModelForQuestionAnswering", dict(attention_dropout=0.0), dict(input_ids=[row[:4] for row in ids], attention_mask=[[1, 1, 1, 1]] * 2, start_positions=[1, 2], end_positions=[3, 2]), dict(task_type="QUESTION_ANS", target_modules=["q_proj", "v_proj"])),
    "gpt2_numbers": ("gpt2-seq", "AutoModelForSequenceClassification", dict(silent, problem_type="regression"), None, dict(task_type="SEQ_CLS", target_modules=["c_attn"])),
}


CASES["vit_images"] = (
    "vit", "AutoModelForImageClassification", {}, dict(labels=[2, 0], pixels=[3, 16, 16]),
    dict(target_modules=["q_proj", "v_proj", "fc2"], modules_to_save=["classifier"]),
)


def prompt(method, task, count=3, **fields):
    return dict(peft_type=method, task_type=task, num_virtual_tokens=count, **fields)


T5 = ("t5-plain", "AutoModelForSeq2SeqLM", dict(dropout_rate=0.0), dict(words, labels=answers))
GATED = ("t5-gated", *T5[1:])
BERT = ("bert-seqcls", "AutoModelForSequenceClassification", quiet, dict(bert, labels=[2, 0]))
TAGS = CASES["roberta_tags"][:4]
SPANS = CASES["llama_spans"][:4]
NUMBERS = CASES["gpt2_numbers"][:4]
DISTILBERT = ("distilbert-seqcls", BERT[1], dict(dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0), dict(words, labels=[2, 0]))
SCALED = ("gemma3", "AutoModelForCausalLM", dict(attention_dropout=0.0), dict(words, labels=[[3, 17, 9, 22, 5, 1], [11, 4, 8, 1, -100, -100]]))
twice = dict(num_tasks=2, num_ranks=2)

CASES |= {
    "t5_prompt": (*T5, prompt("PROMPT_TUNING", "SEQ_2_SEQ_LM")),
    "t5_p_tuning": (*T5, prompt("P_TUNING", "SEQ_2_SEQ_LM", encoder_hidden_size=12, encoder_reparameterization_type="LSTM", encoder_num_layers=1)),
    "t5_prefix": (*T5, prompt("PREFIX_TUNING", "SEQ_2_SEQ_LM", token_dim=12)),
    "t5_projected": (*GATED, prompt("PREFIX_TUNING", "SEQ_2_SEQ_LM", 2, token_dim=12, prefix_projection=True, encoder_hidden_size=12)),
    "t5_multitask": (*T5, prompt("MULTITASK_PROMPT_TUNING", "SEQ_2_SEQ_LM", **twice)),
    "bert_prompt": (*BERT, prompt("PROMPT_TUNING", "SEQ_CLS")),
    "bert_p_tuning": (*BERT, prompt("P_TUNING", "SEQ_CLS", encoder_hidden_size=12)),
    "bert_prefix": (*BERT, prompt("PREFIX_TUNING", "SEQ_CLS")),
    "bert_multitask": (*BERT, prompt("MULTITASK_PROMPT_TUNING", "SEQ_CLS", **twice)),
    "distilbert_prompt": (*DISTILBERT, prompt("PROMPT_TUNING", "SEQ_CLS", token_dim=32, num_layers=2, num_attention_heads=4)),
    "roberta_prompt": (*TAGS, prompt("PROMPT_TUNING", "TOKEN_CLS")),
    "roberta_prefix": (*TAGS, prompt("PREFIX_TUNING", "TOKEN_CLS")),
    "llama_prompt": (*SPANS, prompt("PROMPT_TUNING", "QUESTION_ANS")),
    "llama_prefix": (*SPANS, prompt("PREFIX_TUNING", "QUESTION_ANS")),
    "gpt2_prompt": (*NUMBERS, prompt("PROMPT_TUNING", "SEQ_CLS")),
    "gpt2_prefix": (*NUMBERS, prompt("PREFIX_TUNING", "SEQ_CLS")),
    "gemma3_prompt": (*SCALED, prompt("PROMPT_TUNING", "CAUSAL_LM")),
}

# PEFT 0.21's class for encoders with decoders asks transformers 5 for a method that is gone.
transformers.T5ForConditionalGeneration._prepare_encoder_decoder_kwargs_for_generation = None


def behind(tensors, fields):
    """A batch as PEFT wants it of its callers: labels of tokens counted from the first virtual one."""
    kind, count = fields["peft_type"], fields["num_virtual_tokens"]
    own = dict(tensors)
    if kind == "MULTITASK_PROMPT_TUNING":
        own["task_ids"] = torch.tensor([1, 0])
    if kind == "PREFIX_TUNING":
        return own
    if fields["task_type"] == "TOKEN_CLS":
        own["labels"] = torch.nn.functional.pad(own["labels"], (count, 0), value=-100)
    for name in ("start_positions", "end_positions"):
        if name in own:
            own[name] = own[name] + count
    return own


def adapter_of(fields):
    if "peft_type" in fields:
        return peft.get_peft_config(dict(fields))
    # As above.
    named = {key: value for key, value in fields.items() if value != "SEQ_2_SEQ_LM"}
    return peft.LoraConfig(r=4, lora_alpha=8, **named)


def short(name):
    for part in ("base_model.model.", ".default", ".modules_to_save"):
        name = name.replace(part, "")
    return name.removeprefix("base_model.")


def run(model_name, head, changes, batch, fields):
    config = transformers.AutoConfig.from_pretrained(os.path.join(models, model_name), **changes)
    model = getattr(transformers, head).from_pretrained(os.path.join(models, model_name), config=config)
    if batch is None:
        pad = config.pad_token_id
        own = [[3, 17, 9, 22, 5, 6], [11, 4, 8, 7, pad, pad]]
        labels = [[0.5 * i - 0.25 * row for i in range(config.num_labels)] for row in range(2)]
        batch = dict(input_ids=own, attention_mask=mask, labels=labels)
    made = adapter_of(fields)
    torch.manual_seed(7)
    model = peft.get_peft_model(model, made)
    model.train()
    trained = [(name, each) for name, each in model.named_parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW([each for _, each in trained], lr=0.02, weight_decay=0.0)
    tensors = {key: torch.tensor(value) for key, value in batch.items() if key != "pixels"}
    if "pixels" in batch:
        size = batch["pixels"]
        places = torch.arange(2 * math.prod(size), dtype=torch.float64)
        tensors["pixel_values"] = torch.sin(0.37 * places).float().view(2, *size)
    is_prompt = "num_virtual_tokens" in fields
    fed = behind(tensors, fields) if is_prompt else tensors
    losses, gradients = [], {}
    for step in range(4):
        optimizer.zero_grad()
        loss = model(**fed).loss
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            gradients = {short(name): float(f"{each.grad.norm().item():.7g}") for name, each in trained}
        optimizer.step()
    kept = fields if is_prompt else dict(peft_type="LORA", r=4, lora_alpha=8, **fields)
    ends = {short(name): float(f"{each.norm().item():.7g}") for name, each in trained} if is_prompt else {}
    return dict(
        model=model_name, problem=changes.get("problem_type"), config=kept, batch=batch,
        losses=losses, gradients=gradients, **({"ends": ends} if is_prompt else {}),
    )


truths = dict(peft=peft.__version__, torch=torch.__version__, transformers=transformers.__version__, seed=7, rate=0.02)
truths["cases"] = {name: run(*case) for name, case in CASES.items()}
with open(os.path.join(here, "tasks.json"), "w") as file:
    json.dump(truths, file)
