/** Where a config leads for its base, and what base and weights say against it. */
import { t } from "@vscode/l10n";
import type { ConfigFacts, ConfigRank } from "../../protocol/configContract.ts";
import type { ConfigDocument } from "./document.ts";
import { headOf } from "./fieldProblems.ts";
import type { Fix, Problem } from "./problem.ts";

const field = "base_model_name_or_path";

export function baseProblems(document: ConfigDocument, facts: ConfigFacts): Problem[] {
  const name = document.fields[field];
  const at = document.value([field]) ?? headOf(document);
  if (typeof name !== "string" || name === "") {
    const message = t(
      "The config names no base model: Graft asks for one whenever the adapter is loaded. Set {0} to its path or Hub id.",
      field,
    );
    const severity = "information";
    return [{ code: "base-missing", severity, message, at, fixes: [], wantsBases: true }];
  }
  if (facts.tried.length > 0) return [notHere(name, facts.tried, at)];
  if (facts.baseProblem !== "") {
    const message = t("The base model cannot be looked into: {0}", facts.baseProblem);
    return [
      { code: "base-unreadable", severity: "warning", message, at, fixes: [], wantsBases: true },
    ];
  }
  return vocabularyProblem(facts, at);
}

function notHere(name: string, tried: readonly string[], at: Problem["at"]): Problem {
  const isId = /^[\w.-]+(\/[\w.-]+)?$/.test(name) && !name.startsWith(".");
  if (isId) {
    return {
      code: "base-missing",
      severity: "warning",
      message: t(
        "{0} is not on this machine. Download it from the Hub, or point at a base model that is here.",
        name,
      ),
      at,
      fixes: name.includes("/") ? [download(name)] : [],
      wantsBases: true,
    };
  }
  const message = t(
    "No base model at {0}. Looked for config.json in {1}. Correct the path, or point at a base model that is here.",
    name,
    tried.length > 2
      ? t("{0} and {1} more places", tried[0] ?? "", tried.length - 1)
      : tried.join(", "),
  );
  return { code: "base-missing", severity: "error", message, at, fixes: [], wantsBases: true };
}

function download(id: string): Fix {
  return {
    kind: "command",
    title: t("Download {0} and load it", id),
    command: "graft.loadFromHub",
    arguments: [id],
  };
}

function vocabularyProblem({ vocabulary, base, fit }: ConfigFacts, at: Problem["at"]): Problem[] {
  if (!vocabulary || !base || base.via === "standIn") return [];
  const { module, stored, base: own } = vocabulary;
  const message = t(
    "The adapter has {0} tokens ({1}), {2} has {3}. If tokens were added in training, use the tokenizer that was saved with the adapter; else this is not the base that it was trained on.",
    stored,
    module,
    base.name,
    own,
  );
  // A vocabulary that grew in training is bound all the same.
  const severity = fit && fit.bound === fit.total ? "information" : "warning";
  return [{ code: "vocabulary-differs", severity, message, at, fixes: [], wantsBases: true }];
}

export function weightProblems(document: ConfigDocument, facts: ConfigFacts): Problem[] {
  const { weights } = facts;
  const at = headOf(document);
  if (weights.kind === "missing") {
    const message = t(
      "The weights are missing: neither adapter_model.safetensors nor adapter_model.bin is beside this file, so there is nothing to load. Put them into its folder, or save the adapter again.",
    );
    return [{ code: "weights-missing", severity: "warning", message, at, fixes: [] }];
  }
  if (weights.kind === "broken") {
    const message = t("The weights cannot be read: {0}", weights.message);
    return [
      {
        code: "weights-broken",
        severity: "error",
        message,
        at,
        fixes: [openTensors(weights.file)],
      },
    ];
  }
  return rankProblems(document, facts);
}

function openTensors(file: string): Fix {
  return { kind: "open", title: t("Open the tensors"), file };
}

/** One problem for `r` and one for each key of rank_pattern that disagrees with the tensors. */
function rankProblems(document: ConfigDocument, { ranks, weights }: ConfigFacts): Problem[] {
  const groups = new Map<string | null, ConfigRank[]>();
  for (const each of ranks.differing) groups.set(each.key, [...(groups.get(each.key) ?? []), each]);
  return [...groups].map(([key, found]) => {
    const path = key === null ? ["r"] : ["rank_pattern", key];
    const [first] = found as [ConfigRank];
    const stored = [...new Set(found.map((each) => each.stored))];
    const what = key === null ? "r" : `rank_pattern "${key}"`;
    const message = t(
      "{0} says rank {1}, the tensors of {2} of {3} modules have rank {4} ({5}): the adapter cannot be loaded so. Set the rank that they have.",
      what,
      first.configured,
      found.length,
      ranks.known,
      stored.join(", "),
      first.module,
    );
    const isWhole = key !== null || found.length === ranks.known;
    const fixes =
      stored.length === 1 && isWhole
        ? [setRank(path, stored[0] as number)]
        : patternFix(document, found);
    const files = weights.kind === "present" ? [openTensors(weights.file)] : [];
    const at = document.value(path) ?? headOf(document);
    return { code: "rank-disagrees", severity: "error", message, at, fixes: [...fixes, ...files] };
  });
}

function setRank(path: readonly string[], rank: number): Fix {
  return {
    kind: "set",
    path,
    value: rank,
    title: t("Set {0} to {1}, as the tensors have it", String(path.at(-1)), rank),
  };
}

/** Ranks of single modules, by their last names where those agree, before what the file says already. */
function patternFix(document: ConfigDocument, found: readonly ConfigRank[]): Fix[] {
  const last = (path: string): string => path.split(".").at(-1) as string;
  const byName = new Map<string, Set<number>>();
  for (const { module, stored } of found) {
    byName.set(last(module), (byName.get(last(module)) ?? new Set()).add(stored));
  }
  const mine = found.map(({ module, stored }): [string, number] => {
    const isOne = byName.get(last(module))?.size === 1;
    return [isOne ? last(module) : module.replaceAll(".", "\\."), stored];
  });
  const before = document.fields["rank_pattern"];
  const own = Object.fromEntries(mine);
  const value = { ...own, ...(typeof before === "object" ? before : {}), ...own };
  return [
    {
      kind: "set",
      path: ["rank_pattern"],
      value,
      title: t("Write the tensors' ranks into rank_pattern"),
    },
  ];
}
