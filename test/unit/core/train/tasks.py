"""
What Python PEFT's training gives for tasks other than writing on: writes tasks.json beside this file.

    OMP_NUM_THREADS=1 python test/unit/core/train/tasks.py

Bases are the fixtures', their own dropout set to 0. Of each case the losses of some steps, and the length
of every tensor's gradient in the first.
"""
import json
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


def run(model_name, head, changes, batch, fields):
    config = transformers.AutoConfig.from_pretrained(os.path.join(models, model_name), **changes)
    model = getattr(transformers, head).from_pretrained(os.path.join(models, model_name), config=config)
    if batch is None:
        pad = config.pad_token_id
        own = [[3, 17, 9, 22, 5, 6], [11, 4, 8, 7, pad, pad]]
        labels = [[0.5 * i - 0.25 * row for i in range(config.num_labels)] for row in range(2)]
        batch = dict(input_ids=own, attention_mask=mask, labels=labels)
    # PEFT 0.21's class for encoders with decoders asks transformers 5 for a method that is gone.
    named = {key: value for key, value in fields.items() if value != "SEQ_2_SEQ_LM"}
    lora = peft.LoraConfig(r=4, lora_alpha=8, **named)
    torch.manual_seed(7)
    model = peft.get_peft_model(model, lora)
    model.train()
    trained = [(name, each) for name, each in model.named_parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW([each for _, each in trained], lr=0.02, weight_decay=0.0)
    tensors = {key: torch.tensor(value) for key, value in batch.items()}
    losses, gradients = [], {}
    for step in range(4):
        optimizer.zero_grad()
        loss = model(**tensors).loss
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            short = lambda name: name.replace("base_model.model.", "").replace(".default", "").replace(".modules_to_save", "")
            gradients = {short(name): float(f"{each.grad.norm().item():.7g}") for name, each in trained}
        optimizer.step()
    kept = dict(peft_type="LORA", r=4, lora_alpha=8, **fields)
    return dict(model=model_name, problem=changes.get("problem_type"), config=kept, batch=batch, losses=losses, gradients=gradients)


truths = dict(peft=peft.__version__, torch=torch.__version__, transformers=transformers.__version__, seed=7, rate=0.02)
truths["cases"] = {name: run(*case) for name, case in CASES.items()}
with open(os.path.join(here, "tasks.json"), "w") as file:
    json.dump(truths, file)
