"""Truths for tokenised training data, by transformers and torch: run by hand, writes truths.json beside it."""

import json
from pathlib import Path

import torch
import transformers
from transformers import AutoTokenizer
from transformers.trainer_pt_utils import get_length_grouped_indices

here = Path(__file__).parent
base = here.parents[4] / "media" / "sample" / "base"
tokenizer = AutoTokenizer.from_pretrained(base)
marked = (
    "{{ bos_token }}{% for m in messages %}\n"
    "    {%- if m['role'] == 'assistant' %}\n"
    "        {{- '<|assistant|>' }}\n"
    "        {%- generation %}\n"
    "        {{- m['content'] + '<|end|>' }}\n"
    "        {%- endgeneration %}\n"
    "    {%- else %}\n"
    "        {{- '<|user|>' + m['content'] + '<|end|>' }}\n"
    "    {%- endif %}\n"
    "{%- endfor %}"
)
chats = [
    [
        {"role": "user", "content": "What colour is the sky?"},
        {"role": "assistant", "content": "Arr! Th' sky be blue, matey!"},
        {"role": "user", "content": "Größe? \U0001f600"},
        {"role": "assistant", "content": "Ünter \U0001f680 8 feet."},
    ],
    [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": " spaced "}],
]


def chat_case(messages):
    result = tokenizer.apply_chat_template(
        messages, chat_template=marked, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    return {"messages": messages, "ids": result["input_ids"], "mask": result["assistant_masks"]}


def grouped(lengths, rows, seed):
    generator = torch.Generator().manual_seed(seed)
    order = get_length_grouped_indices(lengths, rows, generator=generator)
    return {"lengths": lengths, "rows": rows, "seed": seed, "order": [int(i) for i in order]}


pair = ("What colour is the sky? ", "Arr! Blue.")
lengths = [(i * 37) % 91 + 3 for i in range(70)]
truths = {
    "versions": {"transformers": transformers.__version__, "torch": torch.__version__},
    "template": marked,
    "chats": [chat_case(each) for each in chats],
    "text": {"text": "A cow says moo.", "ids": tokenizer("A cow says moo.<|end|>")["input_ids"]},
    "pair": {
        "prompt": pair[0],
        "completion": pair[1],
        "ids": tokenizer(pair[0] + pair[1] + "<|end|>")["input_ids"],
        "promptLength": len(tokenizer(pair[0])["input_ids"]),
    },
    "orders": [
        {"count": n, "seed": seed, "order": torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()}
        for n, seed in [(7, 42), (23, 43)]
    ],
    "grouped": [grouped(lengths, 4, 42), grouped(lengths[:9], 2, 7)],
}
(here / "truths.json").write_text(json.dumps(truths, ensure_ascii=False))
