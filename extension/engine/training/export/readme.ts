/** What stands in a job's README.md: English, as the other files of the job. */
import type { RunConfig } from "../../../protocol/trainingContract.ts";
import type { TrainingJob } from "./job.ts";

export function jobReadme(config: RunConfig, job: TrainingJob, notes: readonly string[]): string {
  const trainer = job.task === "causal" ? "TRL's `SFTTrainer`" : "transformers' `Trainer`";
  const steps = Object.keys(job.losses).length;
  const lines = [
    `# ${config.name}`,
    "",
    `A training run of Graft as a Python job: PEFT, ${trainer}, Accelerate. It feeds the same tokens in the same order to the same adapter, so that its losses are Graft's.`,
    "",
    "```sh",
    "pip install -r requirements.txt",
    "python train.py                                                      # one device",
    "accelerate launch --config_file accelerate_ddp.yaml train.py         # several GPUs, the base on each",
    "accelerate launch --config_file accelerate_fsdp.yaml train.py        # several GPUs, the base in parts",
    "```",
    "",
    "`num_processes` in the YAML files is the number of GPUs (also `--num_processes N` before `train.py`); `--mixed_precision bf16` there computes in bf16. `python train.py --help` lists the options: another base, another type for it, `--max-steps`, `--resume`.",
    "",
    "| file | what it is |",
    "| --- | --- |",
    "| `train.py`, `model.py`, `rows.py` | the script; nothing in it is particular to this run |",
    "| `job.json` | the settings, in transformers' names |",
    "| `run.json` | the run as Graft has it |",
    "| `data/*.jsonl` | rows as they are fed: `input_ids`, and `labels` with -100 where nothing is learned |",
    "| `adapter/` | the adapter as training begins |",
    "| `accelerate_*.yaml` | Accelerate's configurations |",
    "",
    `Checkpoints, \`log.jsonl\` and the adapter at the end are written to \`output/\`; Graft loads that folder as any adapter.${steps > 0 ? ` The losses of ${steps} steps that Graft took stand in \`job.json\`; the job says how far its own are from them.` : ""}`,
    "",
    "## What is not the same",
    "",
    ...notes.map((note) => `- ${note}`),
    ...(job.baseDropout ? [] : ["- The base's own dropout is off in both (`baseDropout`)."]),
    "- Several GPUs share the rows of a step where they can be divided. Where the rows of an epoch cannot, Accelerate feeds some of them twice in its last step.",
    "- Other kernels, bf16 and other numbers of GPUs round otherwise: losses part in their last digits, and further after many steps.",
    ...(job.loraPlus === null
      ? []
      : ["- LoRA+ does not run with FSDP: use `accelerate_ddp.yaml`."]),
    "",
  ];
  return lines.join("\n");
}
