import * as vscode from "vscode";
import type { Command, Graft } from "../context.ts";
import type { AdapterSummary } from "../protocol/engineContract.ts";
import { readWeights } from "../views/combination.ts";
import { formatWeight } from "../views/format.ts";
import { wake } from "../wake.ts";
import { loadEach, sayFailed } from "./loadOnto.ts";
import { groupedChoices, pathsOf } from "./pickers.ts";
import { requireTrust } from "./steps.ts";

/** Several adapters answer together, each with a weight; what is not loaded is loaded. */
export const mixAdapters: Command = {
  id: "graft.mixAdapters",
  async run(graft, argument, selected) {
    if (!requireTrust()) return;
    await wake(graft.session);
    await graft.session.discovered();
    const given = pathsOf(argument, selected);
    const rows = graft.session.state.adapters.filter(({ path }) => given.includes(path));
    const parts = rows.length > 1 ? rows : await chooseParts(graft, given);
    if (!parts || parts.length === 0) return;
    const weights = await askWeights(parts.map(({ name }) => name));
    if (weights) await mix(graft, parts, weights);
  },
};

/** @param weights in the order of the parts; equal shares when absent */
export async function mix(
  graft: Graft,
  parts: readonly AdapterSummary[],
  weights = equalWeights(parts.length),
): Promise<void> {
  if (!requireTrust()) return;
  const loads = await loadEach(graft, parts);
  const active = loads.loaded.map(({ name, path }) => ({
    name,
    weight: weights[parts.findIndex((part) => part.path === path)] ?? 1,
  }));
  // One that is left of several is no mix: it answers as it was trained.
  const isAlone = active.length === 1 && parts.length > 1;
  if (active.length > 0) {
    await graft.session.activate(isAlone ? active.map((a) => ({ ...a, weight: 1 })) : active);
    const text = active.map(({ name, weight }) => `${name} ${formatWeight(weight)}`).join(" + ");
    if (!isAlone) vscode.window.setStatusBarMessage(`$(check) ${text}`, 5000);
  }
  sayFailed(graft, loads, () => mix(graft, parts, weights));
}

/** Shares that add up to 1, as near as two digits come to it. */
function equalWeights(count: number): number[] {
  const share = Math.round(100 / count) / 100;
  return Array.from({ length: count }, () => share);
}

async function chooseParts(
  graft: Graft,
  given: readonly string[],
): Promise<AdapterSummary[] | undefined> {
  const { state } = graft.session;
  const active = state.loaded.filter(({ name }) => state.active.some((a) => a.name === name));
  const ticked = new Set([...given, ...active.map(({ path }) => path)]);
  const items = groupedChoices(graft, state.adapters).map((choice) => ({
    ...choice,
    picked: choice.value !== undefined && ticked.has(choice.value.path),
  }));
  const chosen = await vscode.window.showQuickPick(items, {
    title: vscode.l10n.t("Mix Adapters"),
    placeHolder: vscode.l10n.t("Adapters that answer together"),
    canPickMany: true,
    matchOnDescription: true,
    ignoreFocusOut: true,
  });
  return chosen?.flatMap(({ value }) => value ?? []);
}

async function askWeights(names: readonly string[]): Promise<number[] | undefined> {
  const text = await vscode.window.showInputBox({
    title: vscode.l10n.t("Weights of {0}", names.join(", ")),
    prompt: vscode.l10n.t("1 is as trained; weights stand in the order of the names"),
    value: equalWeights(names.length).join(", "),
    ignoreFocusOut: true,
    validateInput: (typed) => {
      const read = readWeights(typed, names.length);
      return typeof read === "string" ? read : undefined;
    },
  });
  if (text === undefined) return undefined;
  const read = readWeights(text, names.length);
  return typeof read === "string" ? undefined : read;
}
