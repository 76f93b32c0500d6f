import * as vscode from "vscode";
import type { Command, Graft } from "../context.ts";
import { HostError } from "../failure.ts";
import type { CombineParams } from "../protocol/writeContract.ts";
import { adapterStatus } from "../state.ts";
import { combinable, type CombinationPart, combinationProblem } from "../views/combination.ts";
import { formatMethod } from "../views/format.ts";
import { withProgress } from "../views/progress.ts";
import { wake } from "../wake.ts";
import { askCombination, combineTitle } from "./combineQuestions.ts";
import { pathsOf } from "./pickers.ts";
import { offerReveal, requireBase, requireTrust, withAdapters } from "./steps.ts";
import { makeKnown } from "./targets.ts";

/** Makes one new adapter of several, each with a weight: PEFT's add_weighted_adapter. */
export const combineAdapters: Command = {
  id: "graft.combineAdapters",
  async run(graft, argument, selected) {
    if (!requireTrust()) return;
    await wake(graft.session);
    const given = pathsOf(argument, selected);
    if (given.length === 0 && !(await requireBase(graft, combineTitle()))) return;
    const parts = await chooseParts(graft, given);
    if (!parts) return;
    const problem = combinationProblem(parts);
    if (problem !== undefined) throw new HostError("bad-request", problem);
    const paths = parts.map(({ path }) => path);
    await withAdapters(graft, paths, async (loaded) => {
      const params = await askCombination(graft, loaded);
      if (params) await combine(graft, params);
    });
  },
};

/** The rows that were selected when they are several; else what the user ticks. */
async function chooseParts(
  { session }: Graft,
  given: readonly string[],
): Promise<CombinationPart[] | undefined> {
  const { state } = session;
  const known: CombinationPart[] = [
    ...state.loaded,
    ...state.adapters.filter((a) => !state.loaded.some(({ path }) => path === a.path)),
  ];
  const wanted = known.filter(({ path }) => given.includes(path));
  if (wanted.length > 1) return wanted;
  const fits = new Set(
    state.adapters.filter((a) => isAtHand(adapterStatus(state, a).kind)).map(({ path }) => path),
  );
  const ticked = new Set([...given, ...(given.length > 0 ? [] : activePaths(session.state))]);
  const items = known
    .filter(({ path, peftType }) => given.includes(path) || combinable.has(peftType))
    .filter((each) => given.includes(each.path) || "bound" in each || fits.has(each.path))
    .map((each) => ({
      label: each.name,
      description: formatMethod(each),
      picked: ticked.has(each.path),
      part: each,
    }));
  const chosen = await vscode.window.showQuickPick(items, {
    title: combineTitle(),
    placeHolder: vscode.l10n.t("Adapters of one method to combine"),
    canPickMany: true,
    ignoreFocusOut: true,
  });
  return chosen && chosen.length > 0 ? chosen.map(({ part }) => part) : undefined;
}

function isAtHand(kind: string): boolean {
  return kind === "active" || kind === "loaded" || kind === "fits";
}

function activePaths({ active, loaded }: Graft["session"]["state"]): string[] {
  const names = new Set(active.map(({ name }) => name));
  return loaded.filter(({ name }) => names.has(name)).map(({ path }) => path);
}

async function combine(graft: Graft, params: Omit<CombineParams, "base">): Promise<void> {
  const { session } = graft;
  const title = vscode.l10n.t("Combining into {0}", params.name);
  const made = await withProgress(title, (work) => session.combine(params, work));
  await makeKnown(graft, made.path);
  const sentences = [
    vscode.l10n.t("{0} ({1}) combined and saved in {2}.", made.name, formatMethod(made), made.path),
    ...made.warnings,
  ];
  const activate = {
    title: vscode.l10n.t("Activate"),
    run: () => session.activate([{ name: made.name, weight: 1 }]),
  };
  const folder = vscode.Uri.file(made.path);
  offerReveal(graft, { text: sentences.join(" "), folder }, activate);
}
