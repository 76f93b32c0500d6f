"""The rows of data/*.jsonl: how they are read, put into batches, and in which order."""

import inspect
import json

import torch
from transformers.trainer_pt_utils import get_length_grouped_indices

IGNORED = -100


class Rows(torch.utils.data.Dataset):
    """A JSONL file, a row a line, read when a row is asked for."""

    def __init__(self, file):
        self.file = file
        self.offsets = [0]
        with open(file, "rb") as lines:
            for line in lines:
                self.offsets.append(self.offsets[-1] + len(line))
        self.offsets.pop()

    def __len__(self):
        return len(self.offsets)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(index)
        with open(self.file, "rb") as lines:
            lines.seek(self.offsets[index])
            return json.loads(lines.readline())


class Collator:
    """Pads rows on the right."""

    def __init__(self, model, job):
        self.pad_id = model.config.pad_token_id
        self.is_float = job["loss"] != "choice"
        takes_types = "token_type_ids" in inspect.signature(model.forward).parameters
        self.takes_types = takes_types and getattr(model.config, "type_vocab_size", 0) > 1

    def __call__(self, rows):
        longest = max(len(row["input_ids"]) for row in rows)

        def padded(name, value):
            return torch.tensor([row[name] + [value] * (longest - len(row[name])) for row in rows])

        batch = {"input_ids": padded("input_ids", self.pad_id)}
        if "position_ids" in rows[0]:
            # Without a mask transformers tells packed texts by their positions; what is padding sees itself.
            batch["position_ids"] = padded("position_ids", 0)
        else:
            lengths = torch.tensor([len(row["input_ids"]) for row in rows])
            batch["attention_mask"] = (torch.arange(longest) < lengths[:, None]).long()
        if "task_ids" in rows[0]:
            batch["task_ids"] = torch.tensor([row["task_ids"] for row in rows])
        if self.takes_types and "token_type_ids" in rows[0]:
            batch["token_type_ids"] = padded("token_type_ids", 0)
        if isinstance(rows[0]["labels"], list) and not self.is_float:
            batch["labels"] = padded("labels", IGNORED)
        else:
            dtype = torch.float32 if self.is_float else torch.long
            batch["labels"] = torch.tensor([row["labels"] for row in rows], dtype=dtype)
        return batch


class GroupedByLength(torch.utils.data.Sampler):
    """Rows of like length together; the order of an epoch follows from seed and epoch alone."""

    def __init__(self, lengths, rows_of_step, seed):
        self.lengths, self.rows_of_step, self.seed, self.epoch = lengths, rows_of_step, seed, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return len(self.lengths)

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        return iter(get_length_grouped_indices(self.lengths, self.rows_of_step, generator=generator))


def label_count(labels):
    return sum(label != IGNORED for label in labels) if isinstance(labels, list) else 1
