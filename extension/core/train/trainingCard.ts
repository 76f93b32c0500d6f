/** What an adapter's card says of its training. */
import type { TrainingEnd } from "./events.ts";
import type { TrainingOptions } from "./options.ts";
import type { RunHistory } from "./trainerState.ts";

const [begin, end] = ["<!-- training: begin -->", "<!-- training: end -->"] as const;

/** The card with a section on the run; one of an earlier run is replaced. */
export function trainingCard(
  card: string,
  at: {
    options: TrainingOptions;
    end: TrainingEnd;
    history: RunHistory;
    dataNote?: string | undefined;
  },
): string {
  const section = [begin, ...lines(at), end].join("\n");
  const [from, to] = [card.indexOf(begin), card.indexOf(end)];
  if (from >= 0 && to > from) return card.slice(0, from) + section + card.slice(to + end.length);
  const versions = card.search(/^#+ Framework versions/m);
  if (versions === -1) return `${card.trimEnd()}\n\n${section}\n`;
  return `${card.slice(0, versions)}${section}\n\n${card.slice(versions)}`;
}

function lines({
  options,
  end: { step, finish },
  history,
  dataNote,
}: Parameters<typeof trainingCard>[1]): string[] {
  const finished = {
    done: "to the end",
    stopped: "stopped early by hand",
    early: "until the loss no longer fell",
  };
  const losses = history.log.filter(({ loss }) => typeof loss === "number");
  const last = losses.at(-1)?.["loss"];
  return [
    "## Training with Graft",
    "",
    ...(dataNote === undefined ? [] : [`Data: ${dataNote}`, ""]),
    `${step} steps, ${finished[finish]}; ${history.tokens} tokens.`,
    ...(typeof last === "number" ? [`Loss of the last step: ${last.toFixed(4)}.`] : []),
    ...(history.bestLoss === null
      ? []
      : [`Least evaluation loss: ${history.bestLoss.toFixed(4)}, at step ${history.bestStep}.`]),
    "",
    "```json",
    JSON.stringify(options, null, 2),
    "```",
  ];
}
