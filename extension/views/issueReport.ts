import { t } from "@vscode/l10n";
import type { State } from "../state.ts";

export interface ReportFacts {
  /** By name: "Graft", "VS Code", "Node.js", "ONNX Runtime", "System", "Processor". */
  readonly versions: readonly (readonly [name: string, value: string])[];
  readonly state: State;
  readonly log: readonly string[];
  /** Folders that are somebody's own, with what stands in their place. */
  readonly folders: readonly (readonly [folder: string, word: string])[];
}

/** The last lines of the log are enough to see what happened. */
const mostLines = 40;

/**
 * A report as Markdown that the user reads, shortens and sends, or not. Models are told by family and
 * method: their names, and folders, are nobody's business.
 */
export function issueReport({ versions, state, log, folders }: ReportFacts): string {
  const hide = hiderOf(state, folders);
  const lines = log.slice(-mostLines).map(hide);
  return [
    `# ${t("Graft: report of an issue")}`,
    `<!-- ${t("Nothing was sent. Read this, take out what you do not want to share, and say what happened.")} -->`,
    `## ${t("What happened, and what did you expect?")}`,
    "",
    `## ${t("How can it be seen again?")}`,
    "1. ",
    `## ${t("Versions")}`,
    table(versions),
    `## ${t("State")}`,
    table(stateRows(state)),
    `## ${t("Log")}`,
    `<!-- ${t("Paths and names of models are replaced. Remove lines as you like.")} -->`,
    ["```", ...(lines.length > 0 ? lines : [t("The log is empty.")]), "```"].join("\n"),
    "",
  ].join("\n\n");
}

function stateRows(state: State): (readonly [string, string])[] {
  const { engine, discovery, base, loaded, active, bases, adapters } = state;
  const found = typeof discovery === "string" ? discovery : t("failed");
  const model = base
    ? [base.modelType, base.architecture, base.dtype, base.precision, base.device, base.task]
    : [t("none")];
  const attached = loaded.map(({ name, method, rank, bound, total }) => {
    const own = active.find((each) => each.name === name);
    const weight = own ? `×${own.weight}` : t("not active");
    return `${method}${rank === null ? "" : ` r ${rank}`} (${bound}/${total}, ${weight})`;
  });
  return [
    [t("Engine"), engine],
    [t("Search"), t("{0}: {1} base models, {2} adapters", found, bases.length, adapters.length)],
    [t("Base"), model.join(", ")],
    [t("Adapters"), attached.length > 0 ? attached.join("; ") : t("none")],
    ...(base?.export
      ? [[t("ONNX export"), `${base.export.mapped}/${base.export.total}`] as const]
      : []),
  ];
}

/** Replaces folders and models' names, the longest first, and whatever else looks like a path. */
function hiderOf(
  { adapters, bases, base, loaded }: State,
  folders: ReportFacts["folders"],
): (line: string) => string {
  const named = new Map<string, string>();
  const models = [...bases, ...(base ? [base] : [])];
  models.forEach(({ path, name }, i) => {
    named.set(path, `<base ${i + 1}>`);
    named.set(name, `<base ${i + 1}>`);
  });
  [...adapters, ...loaded].forEach((each, i) => {
    named.set(each.path, `<adapter ${i + 1}>`);
    // A name of a letter or two is in every word.
    if (each.name.length > 2) named.set(each.name, `<adapter ${i + 1}>`);
    if ("baseName" in each && each.baseName) named.set(each.baseName, "<base>");
  });
  for (const [folder, word] of folders) if (folder.length > 1) named.set(folder, word);
  const pairs = [...named].filter(([text]) => text !== "");
  pairs.sort(([a], [b]) => b.length - a.length);
  return (line) => {
    const plain = pairs.reduce((text, [own, word]) => text.replaceAll(own, word), line);
    return plain
      .replace(/\bhf_\w{8,}/g, "<token>")
      .replace(/(?:[A-Za-z]:)?(?:[\\/][\w.@+-]+){2,}/g, "<path>");
  };
}

function table(rows: readonly (readonly [string, string])[]): string {
  const lines = rows.map(([name, value]) => `| ${name} | ${value.replaceAll("|", "¦")} |`);
  return ["| | |", "|---|---|", ...lines].join("\n");
}
