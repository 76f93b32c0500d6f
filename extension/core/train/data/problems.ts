import { t } from "@vscode/l10n";
import { GraftError } from "../../base/errors.ts";

/** A place in a file, both from 1; a column counts UTF-16 units. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** A record that cannot be learned from: where it is, and what is wrong with it. */
export interface DataProblem extends Place {
  readonly file: string;
  readonly message: string;
}

/** Of these many broken records it is said what is wrong; the others are counted. */
const listed = 100;
/** Of these the message itself tells. */
const told = 5;

/** Gathers what is wrong with a data set, so that all of it is said at once. */
export class ProblemList {
  readonly problems: DataProblem[] = [];
  count = 0;

  add(problem: DataProblem): void {
    this.count++;
    if (this.problems.length < listed) this.problems.push(problem);
  }

  /** What a run refuses with that does not skip broken records. */
  asError(): GraftError {
    const lines = this.problems.slice(0, told).map(tell);
    const more = this.count - lines.length;
    if (more > 0) lines.push(t("… and {0} more.", more));
    const head =
      this.count === 1
        ? t("The training data has a broken record.")
        : t("The training data has {0} broken records.", this.count);
    const remedy = t("Correct them, or choose to skip broken records.");
    return new GraftError("bad-file", [head, ...lines, remedy].join("\n"), {
      file: this.problems[0]?.file ?? "",
      problems: this.problems,
      count: this.count,
    });
  }
}

/** "data.jsonl:3:17: “messages” is missing." */
function tell({ file, line, column, message }: DataProblem): string {
  return `${file}:${line}:${column}: ${message}`;
}
