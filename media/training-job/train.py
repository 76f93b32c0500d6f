"""Trains the adapter of this folder as Graft does: the same rows in the same order, the same beginning,
the same settings. README.md says how to launch it, also on several GPUs.

job.json has everything that is particular to this run; nothing in the scripts is.
"""

import argparse
import functools
import json
import os
import time
from pathlib import Path

import torch
import transformers
from peft.optimizers import create_loraplus_optimizer
from model import open_base, with_adapter
from rows import IGNORED, Collator, GroupedByLength, Rows, label_count
from torch.nn import functional
from transformers import AutoTokenizer, Trainer, TrainerCallback, TrainingArguments

try:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer
except ImportError:  # transformers' Trainer learns the same
    SFTConfig = SFTTrainer = None

HERE = Path(__file__).resolve().parent


def read_arguments(job):
    parser = argparse.ArgumentParser(description=f"Trains {job['name']}, a run that was exported from Graft.")
    parser.add_argument("--base", help="folder or Hub id of the base, where it is another place")
    parser.add_argument("--output", default=str(HERE / "output"), help="where checkpoints and the adapter go")
    parser.add_argument("--max-steps", type=int, help="end after so many steps, of the schedule of the whole run")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --output")
    parser.add_argument(
        "--dtype",
        choices=["float32", "bfloat16", "float16"],
        default="float32",
        help="what the frozen base computes in; float32 gives Graft's losses",
    )
    parser.add_argument(
        "--quantization",
        choices=["none", "nf4", "fp4", "int8"],
        default=job["quantization"] or "none",
        help="what bitsandbytes keeps the frozen base in",
    )
    parser.add_argument("--attention", help="transformers' attn_implementation, such as sdpa or flash_attention_2")
    parser.add_argument(
        "--trainer",
        choices=["trl", "transformers"],
        default="transformers" if SFTTrainer is None or job["task"] != "causal" else "trl",
        help="which trainer runs the job; both give the same losses",
    )
    return parser.parse_args()


def class_loss(outputs, labels, num_items_in_batch=None, kind="choice"):
    """The mean over all labels of a step, whatever the model's own loss makes of accumulated batches."""
    logits = outputs["logits"]
    if kind == "choices":
        return functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum") / num_items_in_batch
    if kind == "numbers":
        return functional.mse_loss(logits.reshape(labels.shape), labels, reduction="sum") / num_items_in_batch
    if labels.dim() == 2:
        logits = logits[:, -labels.shape[1] :]  # behind the tokens that a prompt method puts in front
    flat = logits.reshape(-1, logits.shape[-1])
    total = functional.cross_entropy(flat, labels.reshape(-1), ignore_index=IGNORED, reduction="sum")
    return total / num_items_in_batch


def run_class(trainer, job):
    class Run(trainer):
        """A trainer that orders, groups and averages as Graft does where transformers has it another way."""

        rows_evaluated = None

        def _get_train_sampler(self, *arguments):
            if not job["groupByLength"]:
                return super()._get_train_sampler(*arguments)
            lengths = [len(row["input_ids"]) for row in self.train_dataset]
            return GroupedByLength(lengths, job["rowsOfStep"], self.args.seed)

        def create_optimizer(self, model=None):
            plus = job["loraPlus"]
            if plus is None or self.optimizer is not None:
                return super().create_optimizer() if model is None else super().create_optimizer(model)
            if self.is_fsdp_enabled:
                raise SystemExit("LoRA+ needs every matrix by its name, which FSDP hides: launch with accelerate_ddp.yaml.")
            self.optimizer = create_loraplus_optimizer(
                self.model if model is None else model,
                torch.optim.SGD if job["arguments"]["optim"] == "sgd" else torch.optim.AdamW,
                lr=self.args.learning_rate,
                loraplus_lr_ratio=plus["ratio"],
                loraplus_lr_embedding=plus["embeddingRate"],
                loraplus_weight_decay=self.args.weight_decay,
            )
            return self.optimizer

        def prediction_step(self, model, inputs, *arguments, **options):
            self.rows_evaluated = len(inputs["input_ids"])
            try:
                return super().prediction_step(model, inputs, *arguments, **options)
            finally:
                self.rows_evaluated = None

        def _get_num_items_in_batch(self, batches, device):
            if self.rows_evaluated is None:
                return super()._get_num_items_in_batch(batches, device)
            # transformers weighs batches by rows; with this divisor that is the mean over all labels.
            rows = self.rows_evaluated * self.args.world_size
            return torch.tensor(rows * self.labels_of_row(), device=device)

        def labels_of_row(self):
            if not hasattr(self, "mean_labels"):
                total = sum(label_count(row["labels"]) for row in self.eval_dataset)
                self.mean_labels = total / len(self.eval_dataset)
            return self.mean_labels

    return Run


class Steps(TrainerCallback):
    """What happens between steps; log.jsonl has each one's loss, rate, norm of gradients and seconds since the beginning."""

    def __init__(self, file, last_step):
        self.file, self.last_step = file, last_step
        self.started = None

    def on_train_begin(self, args, state, control, **more):
        self.started = time.perf_counter()
        if state.is_world_process_zero and state.global_step == 0:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.unlink(missing_ok=True)

    def on_optimizer_step(self, args, state, control, model=None, **more):
        # AdaLoRA takes ranks away by the gradients of a step.
        tuner = getattr(model, "base_model", None)
        if hasattr(tuner, "update_and_allocate"):
            tuner.update_and_allocate(state.global_step)

    def on_step_end(self, args, state, control, **more):
        if args.load_best_model_at_end and state.global_step >= state.max_steps:
            control.should_evaluate = True  # the last one may be the best
        if state.global_step == self.last_step:
            control.should_training_stop = True

    def on_log(self, args, state, control, logs=None, **more):
        if not state.is_world_process_zero or not logs:
            return
        known = ("loss", "learning_rate", "grad_norm", "eval_loss")
        line = {name: logs[name] for name in known if name in logs}
        if line:
            seconds = time.perf_counter() - self.started
            with open(self.file, "a") as log:
                log.write(json.dumps({"step": state.global_step, **line, "seconds": seconds}) + "\n")


def share_of_device(arguments):
    """Rows and batches of a step, shared among all processes."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    rows, batches = arguments["per_device_train_batch_size"], arguments["gradient_accumulation_steps"]
    if rows % world == 0:
        return rows // world, batches
    if batches % world == 0:
        return rows, batches // world
    if os.environ.get("RANK", "0") == "0":
        print(f"{rows} × {batches} rows cannot be shared among {world} processes: a step takes {world} times as many.")
    return rows, batches


def training_arguments(job, arguments, kind):
    rows, batches = share_of_device(job["arguments"])
    own = {**job["arguments"], "per_device_train_batch_size": rows, "gradient_accumulation_steps": batches}
    if kind is not TrainingArguments:
        own |= {"dataset_kwargs": {"skip_prepare_dataset": True}, "max_length": None, "packing": False, "loss_type": "nll"}
    # bf16 is accelerate's to say (mixed_precision); these trainers differ in what they take for granted.
    return kind(output_dir=arguments.output, bf16=False, report_to="none", disable_tqdm=True, **own)


def compare(job_losses, file):
    """How far this run's losses are from those of Graft's own run."""
    with open(file) as log:
        lines = [json.loads(line) for line in log]
    losses = {line["step"]: line["loss"] for line in lines if "loss" in line}
    apart = [abs(losses[int(step)] - loss) for step, loss in job_losses.items() if int(step) in losses]
    if apart:
        print(f"Losses of {len(apart)} steps differ from those of Graft's run by at most {max(apart):.2e}.")


def read_rows(name, arguments):
    file = HERE / "data" / f"{name}.jsonl"
    return Dataset.from_json(str(file)) if arguments.trainer == "trl" else Rows(file)


def main():
    job = json.loads((HERE / "job.json").read_text(encoding="utf-8"))
    arguments = read_arguments(job)
    if arguments.trainer == "trl" and SFTTrainer is None:
        raise SystemExit("trl is not installed. Install it, or leave --trainer trl out.")
    kind, trainer = (SFTConfig, SFTTrainer) if arguments.trainer == "trl" else (TrainingArguments, Trainer)
    # Before the base: with FSDP only the first process reads its weights.
    args = training_arguments(job, arguments, kind)
    base = open_base(job, arguments)
    model = with_adapter(base, str(HERE / "adapter"))
    if args.gradient_checkpointing:
        model.enable_input_require_grads()
    options = {}
    if arguments.trainer == "trl":
        options["processing_class"] = AutoTokenizer.from_pretrained(base.config._name_or_path)
    if job["task"] != "causal":
        options["compute_loss_func"] = functools.partial(class_loss, kind=job["loss"])
    log = Path(arguments.output) / "log.jsonl"
    callbacks = [Steps(log, arguments.max_steps)]
    stopping = job["earlyStopping"]
    if stopping is not None:
        callbacks.append(transformers.EarlyStoppingCallback(stopping["patience"], stopping["threshold"]))
    evaluates = job["arguments"]["eval_strategy"] != "no"
    run = run_class(trainer, job)(
        model=model,
        args=args,
        data_collator=Collator(base, job),
        train_dataset=read_rows("training", arguments),
        eval_dataset=read_rows("evaluation", arguments) if evaluates else None,
        callbacks=callbacks,
        **options,
    )
    if job["learnsFirstToken"]:
        run._loss_shifts_labels = False  # the last virtual token foretells it, so it counts
    run.train(resume_from_checkpoint=True if arguments.resume else None)
    if run.is_fsdp_enabled:
        run.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    run.save_model(arguments.output)
    if run.is_world_process_zero():
        print(f"The adapter is in {arguments.output}.")
        compare(job["losses"], log)


if __name__ == "__main__":
    main()
