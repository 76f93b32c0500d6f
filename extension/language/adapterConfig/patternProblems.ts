/** Names and patterns of a config that choose nothing on its base. */
import { t } from "@vscode/l10n";
import type { ConfigBase, ConfigFacts, ConfigPattern } from "../../protocol/configContract.ts";
import { type ConfigDocument, insideString } from "./document.ts";
import type { Fix, Problem } from "./problem.ts";
import { similar } from "./similar.ts";

/** Modules that PEFT adds to modules_to_save by itself, whether or not a base has them. */
const addedByPeft = ["classifier", "score", "qa_outputs"];

export function patternProblems(document: ConfigDocument, facts: ConfigFacts): Problem[] {
  const { base, patterns } = facts;
  if (!base) return [];
  const targets = patterns.filter((each) => isTarget(each) || each.kind === "parameter");
  const isAll = targets.length > 0 && targets.every(({ count }) => count === 0);
  const isNone = targets.length > 0 && targets.every(({ chosen }) => chosen === 0);
  // Shadow changes whole blocks; and what binds as it is needs no other name.
  const mayContain = document.fields["peft_type"] === "SHADOW" || facts.fit !== null;
  return patterns.flatMap((pattern) => {
    const at = pattern.kind === "key" ? document.key(pattern.path) : document.value(pattern.path);
    if (at === null) return [];
    const problem = problemOf(pattern, { document, base, targets, isAll, isNone, mayContain });
    const own = problem ? [{ ...problem, at }] : [];
    return [...own, ...deadParts(pattern, document, base)];
  });
}

function isTarget({ path }: ConfigPattern): boolean {
  return path[0] === "target_modules";
}

type Found = Omit<Problem, "at">;

function problemOf(
  pattern: ConfigPattern,
  at: {
    document: ConfigDocument;
    base: ConfigBase;
    targets: readonly ConfigPattern[];
    /** Whether no target means anything, whether none is left, and whether containers are in order. */
    isAll: boolean;
    isNone: boolean;
    mayContain: boolean;
  },
): Found | null {
  const { document, base, isAll, isNone, mayContain } = at;
  const { kind, count, chosen, text, path, inner } = pattern;
  if (kind === "key" && pattern.shadowedBy !== undefined) return shadowed(pattern);
  if (count > 0) return isTarget(pattern) && chosen === 0 && isNone ? leftOut(pattern) : null;
  if (inner.length > 0) return mayContain ? null : container(pattern, document);
  if (kind === "save" && addedByPeft.includes(text)) return null;
  const severity = isTarget(pattern) && isAll ? "error" : "warning";
  const code = isTarget(pattern) ? "target-matches-nothing" : "pattern-dead";
  const names = kind === "key" ? targeted(at.targets, base) : namesFor(pattern, base);
  const meant = kind === "regex" || kind === "layer" ? [] : similar(text, names).slice(0, 2);
  const renames = meant.map((to): Fix =>
    kind === "key"
      ? { kind: "rename", path, to, title: t("Rename to {0}", to) }
      : { kind: "set", path, value: to, title: t("Replace by {0}", to) },
  );
  const hint =
    meant[0] === undefined ? otherNames(pattern, names) : t("Did you mean {0}?", meant[0]);
  const message = [nothing(pattern, base), hint].filter((part) => part !== "").join(" ");
  return {
    code,
    severity,
    message,
    fixes: [...renames, ...removal(pattern)],
    ...(isTarget(pattern) && isAll && { wantsBases: true }),
  };
}

function nothing({ kind, text, path }: ConfigPattern, { name, layers }: ConfigBase): string {
  switch (kind) {
    case "target":
      return t('"{0}" matches no module of {1}: nothing is adapted by it.', text, name);
    case "regex":
      return t(
        'The pattern "{0}" matches no module of {1}; it must match whole paths.',
        text,
        name,
      );
    case "exclude":
      return t('"{0}" matches no module of {1}, so it leaves nothing out.', text, name);
    case "save":
      return t('"{0}" matches no module of {1}: nothing is stored whole by it.', text, name);
    case "key":
      return t(
        '"{0}" matches no targeted module of {1}, so its value in {2} never counts.',
        text,
        name,
        String(path[0]),
      );
    case "layer":
      return t("{0} has no layer {1}: its layers are 0 to {2}.", name, text, layers - 1);
    case "layers":
      return t('"{0}" is no list of layers in {1}.', text, name);
    case "parameter":
      return t('"{0}" matches no parameter of {1}.', text, name);
    default:
      return kind satisfies never;
  }
}

/** A few names that there are, where none is like the one that was written. */
function otherNames({ kind }: ConfigPattern, names: readonly string[]): string {
  if (kind === "layer" || kind === "regex" || names.length === 0) return "";
  const shown = names.slice(0, 7).join(", ");
  return t("There are {0}.", names.length > 7 ? `${shown}, …` : shown);
}

/** Names of what is targeted: keys of pattern fields speak of nothing else. */
function targeted(targets: readonly ConfigPattern[], base: ConfigBase): string[] {
  const names = targets.flatMap(({ first }) => first.map((path) => path.split(".").at(-1) ?? path));
  return names.length === 0 ? namesFor({ kind: "target" }, base) : [...new Set(names)];
}

/** Names that could stand in a pattern's place. */
export function namesFor(
  { kind }: Pick<ConfigPattern, "kind">,
  { modules, parameterNames }: ConfigBase,
): string[] {
  const last = (path: string): string => path.split(".").at(-1) as string;
  if (kind === "parameter") {
    return [...new Set(parameterNames.map((name) => name.split(".").slice(-2).join(".")))];
  }
  if (kind === "layers") return layerLists(modules.map(({ path }) => path));
  const wanted = kind === "save" ? modules : modules.filter((module) => module.kind !== "norm");
  return [...new Set(wanted.map(({ path }) => last(path)))];
}

/** "layers" of "model.layers.0.mlp.up_proj". */
export function layerLists(paths: readonly string[]): string[] {
  const names = paths.map((path) => /(?:^|\.)(\w+)\.\d+\./.exec(path)?.[1]);
  return [...new Set(names.filter((name) => name !== undefined))];
}

function removal({ path, kind, text }: ConfigPattern): Fix[] {
  const isWhole = path.length < 2;
  // Without target_modules there is no adapter: a pattern that is all of it is not removed.
  if (isWhole && path[0] === "target_modules") return [];
  const title = kind === "layer" ? t("Remove layer {0}", text) : t('Remove "{0}"', text);
  if (isWhole) return [{ kind: "set", path, value: null, title }];
  return [{ kind: "remove", path, title }];
}

function container({ text, inner, path }: ConfigPattern, document: ConfigDocument): Found {
  const names = inner.join(", ");
  const before = document.fields[String(path[0])];
  const all = (Array.isArray(before) ? before : []).flatMap((each: unknown) =>
    each === text ? inner : [each],
  );
  const value = [...new Set(all)];
  return {
    code: "target-is-container",
    severity: "error",
    message: t(
      '"{0}" contains other modules and cannot carry an update itself. Name the linear layers inside it: {1}.',
      text,
      names,
    ),
    fixes: [
      { kind: "set", path: path.slice(0, 1), value, title: t("Replace by {0}", names) },
      { kind: "remove", path, title: t('Remove "{0}"', text) },
    ],
  };
}

function leftOut({ text, count }: ConfigPattern): Found {
  return {
    code: "target-left-out",
    severity: "error",
    message: t(
      'Nothing is adapted: "{0}" matches {1} modules, and exclude_modules, modules_to_save or layers_to_transform leaves out all of them.',
      text,
      count,
    ),
    fixes: [],
  };
}

function shadowed({ text, shadowedBy = "", path }: ConfigPattern): Found {
  return {
    code: "pattern-dead",
    severity: "warning",
    message: t(
      '"{0}" never counts: the first key that matches decides, and "{1}" before it matches the same modules. Put the narrower key first.',
      text,
      shadowedBy,
    ),
    fixes: [{ kind: "remove", path, title: t('Remove "{0}"', text) }],
  };
}

function deadParts(pattern: ConfigPattern, document: ConfigDocument, base: ConfigBase): Problem[] {
  const { text, path, dead } = pattern;
  const value = document.value(path);
  if (value === null) return [];
  return dead.map((part) => {
    const before = text[part.start - 1] === "|";
    const [start, end] = before ? [part.start - 1, part.end] : [part.start, part.end + 1];
    const without = text.slice(0, start) + text.slice(end);
    const meant = similar(part.text, namesFor(pattern, base)).slice(0, 1);
    const replaced = (to: string): string => text.slice(0, part.start) + to + text.slice(part.end);
    const fixes: Fix[] = [
      ...meant.map((to): Fix => ({
        kind: "set",
        path,
        value: replaced(to),
        title: t("Replace by {0}", to),
      })),
      { kind: "set", path, value: without, title: t('Remove "{0}"', part.text) },
    ];
    const message = t(
      '"{0}" in this pattern matches no module of {1}; the rest of the pattern does.',
      part.text,
      base.name,
    );
    const at = insideString(document.text, value, part);
    return { code: "pattern-dead", severity: "warning", message, at, fixes };
  });
}
