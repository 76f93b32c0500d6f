"""Makes bases without a head, adapters that bring one, and what PEFT computes with both.

    python makeHeadless.py OUT

Each case is OUT/NAME/{base,adapter,expected.safetensors}: a stack or a model with another head as
`save_pretrained` writes it, opened by AutoModelForSequenceClassification or …TokenClassification.
"""

import sys
from pathlib import Path

import torch
from make import perturb
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    RobertaConfig,
    RobertaForMaskedLM,
)

sizes = dict(
    vocab_size=40,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=24,
    max_position_embeddings=32,
    pad_token_id=0,
)
llama = LlamaConfig(**sizes, num_key_value_heads=1, bos_token_id=1, eos_token_id=2)
sequence, token = AutoModelForSequenceClassification, AutoModelForTokenClassification
cases = {
    "bert": (BertModel, BertConfig(**sizes), sequence, "SEQ_CLS", 3),
    "roberta": (RobertaForMaskedLM, RobertaConfig(**sizes), sequence, "SEQ_CLS", 4),
    "llama": (LlamaForCausalLM, llama, sequence, "SEQ_CLS", 3),
    "llama-tokens": (LlamaForCausalLM, llama, token, "TOKEN_CLS", 5),
}


def main(out: Path) -> None:
    torch.set_num_threads(1)
    for seed, (name, (stored, config, opened, task, labels)) in enumerate(cases.items()):
        torch.manual_seed(seed)
        folder = out / name
        stored(config).save_pretrained(folder / "base")
        base = opened.from_pretrained(folder / "base", num_labels=labels)
        targets = ["query", "value"] if "bert" in name else ["q_proj", "v_proj"]
        model = get_peft_model(base, LoraConfig(task_type=task, r=2, target_modules=targets))
        model.peft_config["default"].base_model_name_or_path = "../base"
        perturb(model, 0.5)
        model.save_pretrained(folder / "adapter")
        again = opened.from_pretrained(folder / "base", num_labels=labels)
        model = PeftModel.from_pretrained(again, folder / "adapter").eval()
        ids = torch.randint(3, sizes["vocab_size"], (2, 7))
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        mask = torch.ones_like(ids)
        tensors = {"input_ids": ids, "attention_mask": mask, "logits": logits.contiguous()}
        save_file(tensors, folder / "expected.safetensors")
        (folder / "adapter" / "README.md").unlink(missing_ok=True)
        print(name, logits[0].flatten()[:4].tolist())


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
