/** What of a run does not carry over to Python as it is. */
import { t as localized } from "@vscode/l10n";
import type { RunConfig } from "../../../protocol/trainingContract.ts";
import type { JobFacts } from "./job.ts";

type Say = (text: string, ...values: (string | number)[]) => string;

/** Sentences, in the editor's language unless `t` is another's. */
export function jobNotes(config: RunConfig, facts: JobFacts, t: Say = localized): string[] {
  const { dtype = "auto", samplePrompts } = config;
  const notes: string[] = [];
  if (facts.hasDropout) {
    notes.push(
      t(
        "Dropout and noise are other numbers in PyTorch: losses are close to Graft's, not the same.",
      ),
    );
  }
  if (dtype === "int4" || dtype === "int8") {
    notes.push(
      t(
        "Graft keeps the base in blocks of {0}; the job has bitsandbytes round it, which needs a GPU and begins with slightly other losses. Without rounding: --quantization none.",
        dtype,
      ),
    );
  }
  if (dtype === "nf4" || dtype === "fp4") {
    notes.push(
      t(
        "bitsandbytes keeps the base in {0}, which needs a GPU. Without rounding: --quantization none.",
        dtype,
      ),
    );
  }
  if (facts.base.id === null) {
    notes.push(
      t(
        "The base is a folder of this machine ({0}). On another one, copy it there and name it: --base FOLDER.",
        facts.base.path,
      ),
    );
  }
  if (samplePrompts.length > 0) notes.push(t("The job does not answer sample prompts."));
  return notes;
}

/** The same in English, for files that whoever runs the job reads. */
export function plain(text: string, ...values: (string | number)[]): string {
  return text.replace(/\{(\d+)\}/g, (_, index: string) => String(values[Number(index)]));
}
