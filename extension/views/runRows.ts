import { t } from "@vscode/l10n";
import type { RunState, RunSummary } from "../protocol/runsContract.ts";
import { formatExact } from "./format.ts";
import type { Row } from "./rows.ts";

const stateWords: Record<RunState, string> = {
  preparing: t("preparing"),
  running: t("training"),
  pausing: t("pausing"),
  paused: t("paused"),
  evaluating: t("evaluating"),
  stopping: t("stopping"),
  finished: t("finished"),
  stopped: t("stopped early"),
  failed: t("failed"),
  interrupted: t("interrupted"),
};

const looks: Record<RunState, { icon: string; color?: string }> = {
  preparing: { icon: "loading~spin" },
  running: { icon: "sync~spin", color: "charts.blue" },
  pausing: { icon: "debug-pause", color: "charts.yellow" },
  paused: { icon: "debug-pause", color: "charts.yellow" },
  evaluating: { icon: "beaker", color: "charts.blue" },
  stopping: { icon: "debug-stop", color: "charts.yellow" },
  finished: { icon: "pass-filled", color: "charts.green" },
  stopped: { icon: "debug-stop" },
  failed: { icon: "error", color: "list.errorForeground" },
  interrupted: { icon: "warning", color: "list.warningForeground" },
};

/** What the Runs view shows of a run. Its context value names what can be done with it. */
export function runRow(run: RunSummary): Row {
  // Nobody has begun what a terminal or another machine has prepared.
  const isNew = run.state === "interrupted" && run.startedAt === null;
  const known = isNew ? t("not started") : stateWords[run.state];
  const word = run.problem === undefined ? known : t("cannot be read");
  const own = isNew ? { icon: "circle-outline" } : looks[run.state];
  const look = run.problem === undefined ? own : looks.failed;
  const description = [word, stepsOf(run), lossOf(run)].filter(Boolean).join(" · ");
  const facts: Row["facts"] = [
    [t("State"), run.problem ?? [word, run.message].filter(Boolean).join(": ")],
    [t("Method"), run.method],
    [t("Base"), run.base],
    [t("Step"), stepsOf(run)],
    [t("Loss"), run.loss === null ? "" : formatLoss(run.loss)],
    [t("Evaluation loss"), run.evaluationLoss === null ? "" : formatLoss(run.evaluationLoss)],
    [t("Started"), run.startedAt === null ? "" : new Date(run.startedAt).toLocaleString()],
    [t("Ended"), run.endedAt === null ? "" : new Date(run.endedAt).toLocaleString()],
    [t("Path"), run.folder],
  ];
  return {
    id: run.folder,
    label: run.name,
    description,
    ...look,
    contextValue: contextOf(run),
    status: word,
    facts: facts.filter(([, value]) => value !== ""),
  };
}

/** "run.running.adapter": the state while a process lives, else "ended" or "over"; then what there is. */
function contextOf(run: RunSummary): string {
  if (run.problem !== undefined) return "run.unreadable";
  const kind = run.process ? run.state : canContinue(run) ? "ended" : "over";
  return `run.${kind}${run.adapter === null ? "" : ".adapter"}`;
}

/** Whether a run that has no process has more to train. */
export function canContinue({ state, process, problem }: RunSummary): boolean {
  return process === null && problem === undefined && state !== "finished";
}

function stepsOf({ step, totalSteps }: RunSummary): string {
  if (totalSteps === null) return step === 0 ? "" : t("step {0}", formatExact(step));
  return t("{0} of {1}", formatExact(step), formatExact(totalSteps));
}

function lossOf({ loss }: RunSummary): string {
  return loss === null ? "" : t("loss {0}", formatLoss(loss));
}

/** 2.34567 → "2.346", 0.00012 → "0.00012". */
export function formatLoss(loss: number): string {
  return Number.isFinite(loss) ? String(Number(loss.toPrecision(4))) : String(loss);
}

/** What the status bar says while something trains; null when nothing does. */
export function runStatus(
  live: readonly RunSummary[],
): { text: string; words: string; folder: string | null } | null {
  const [only, ...others] = live;
  if (!only) return null;
  if (others.length > 0) {
    const words = t("{0} runs", live.length);
    return { text: `$(sync~spin) ${words}`, words, folder: null };
  }
  const { name, state, step, totalSteps, folder } = only;
  const share = totalSteps ? `${Math.floor((100 * step) / totalSteps)} %` : "";
  const isPlain = state === "running";
  const facts = [isPlain ? "" : stateWords[state], share, lossOf(only)].filter(Boolean);
  const words = [name, facts.join(" · ")].filter(Boolean).join(" ");
  return { text: `$(${looks[state].icon}) ${words}`, words, folder };
}
