import { t } from "@vscode/l10n";
import { runsIn, type State } from "../state.ts";
import { escapeMarkdown, markdownRow } from "./escapeMarkdown.ts";
import { formatBytes, formatCount, formatMethod, formatRate, formatWeight } from "./format.ts";

/** The status bar's tooltip as Markdown, without `vscode`, so that its words can be tested. */
export function statusTooltip(state: State, words: string): string {
  const lines = [`**Graft** · ${escapeMarkdown(words)}`];
  if (state.engine === "failed") {
    lines.push(link("debug-restart", t("Restart Engine"), "graft.restartEngine"));
  } else if (state.base) {
    lines.push(table(baseRows(state)), ...adapterTable(state));
  } else {
    lines.push(t("Click to load a base model or an adapter."));
  }
  return [...lines, "---", actions(state)].join("\n\n");
}

/** The commands that the tooltip may run; nothing else in it is a link. */
export const tooltipCommands = [
  "graft.runTestPrompt",
  "graft.openPlayground",
  "graft.mixAdapters",
  "graft.deactivateAdapters",
  "graft.unloadBaseModel",
  "graft.loadBaseModel",
  "graft.activateAdapter",
  "graft.restartEngine",
  "graft.showLog",
];

type Fact = [name: string, value: string];

function baseRows({ base, lastAnswer }: State): Fact[] {
  if (!base) return [];
  const { dtype, memory } = base;
  const ran = runsIn(base);
  const size = t("{0} parameters", formatCount(base.parameters));
  return [
    [t("Base"), `${base.name} (${[base.modelType, size].filter(Boolean).join(", ")})`],
    [t("Precision"), ran === dtype ? dtype : t("{0}, runs {1}", dtype, ran)],
    [t("Runs on"), base.device],
    [t("Memory"), t("about {0}", formatBytes(memory.estimate))],
    ...(lastAnswer ? [lastFact(lastAnswer)] : []),
  ];
}

function lastFact({ tokens, tokensPerSecond }: NonNullable<State["lastAnswer"]>): Fact {
  const rate = formatRate(tokensPerSecond);
  return [t("Last answer"), t("{0}, {1} tokens", rate, tokens)];
}

function adapterTable({ loaded, active }: State): string[] {
  if (loaded.length === 0) return [];
  const rows = loaded.map((adapter): Fact => {
    const own = active.find(({ name }) => name === adapter.name);
    const share = own ? t("active {0}", formatWeight(own.weight)) : t("loaded, not active");
    const bound = t("{0} of {1} modules bound", adapter.bound, adapter.total);
    return [adapter.name, [share, formatMethod(adapter), bound].join(", ")];
  });
  return [table(rows)];
}

function actions({ base, active, loaded }: State): string {
  const when = (shown: boolean, ...parts: Parameters<typeof link>): string[] =>
    shown ? [link(...parts)] : [];
  return [
    ...when(base !== null, "play", t("Run Test Prompt"), "graft.runTestPrompt"),
    ...when(base !== null, "comment-discussion", t("Playground"), "graft.openPlayground"),
    ...when(base === null, "server-environment", t("Load Base Model"), "graft.loadBaseModel"),
    ...when(active.length === 0, "record", t("Activate Adapter"), "graft.activateAdapter"),
    ...when(loaded.length > 1, "layers", t("Mix Adapters"), "graft.mixAdapters"),
    ...when(active.length > 0, "circle-slash", t("Deactivate"), "graft.deactivateAdapters"),
    ...when(base !== null, "debug-disconnect", t("Unload"), "graft.unloadBaseModel"),
    link("output", t("Log"), "graft.showLog"),
  ].join(" &nbsp; ");
}

function link(icon: string, title: string, command: string): string {
  // An icon stays on the line of its words.
  return `[$(${icon})&nbsp;${title.replaceAll(" ", "&nbsp;")}](command:${command})`;
}

function table(rows: readonly Fact[]): string {
  const lines = rows.map(([name, value]) => markdownRow(name, value));
  return ["| | |", "|---|---|", ...lines].join("\n");
}
