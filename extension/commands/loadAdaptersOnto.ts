import * as vscode from "vscode";
import type { Command, Graft } from "../context.ts";
import type { AdapterSummary } from "../protocol/engineContract.ts";
import { chooseBase, groupedChoices, pathsOf } from "./pickers.ts";
import { loadOnto } from "./loadOnto.ts";
import { requireTrust } from "./steps.ts";

/** What dragging adapters onto a base does, from the keyboard: of a base's row, or of selected adapters. */
export const loadAdaptersOnto: Command = {
  id: "graft.loadAdaptersOnto",
  async run(graft, argument, selected) {
    if (!requireTrust()) return;
    await graft.session.discovered();
    const given = pathsOf(argument, selected);
    const { bases, adapters } = graft.session.state;
    const named = bases.find(({ path }) => given.includes(path));
    const rows = adapters.filter(({ path }) => given.includes(path));
    const base = named ?? (await chooseBase(graft, undefined));
    if (!base) return;
    const wanted = rows.length > 0 ? rows : await chooseAdapters(graft, base.name);
    if (wanted && wanted.length > 0) await loadOnto(graft, base.path, wanted);
  },
};

async function chooseAdapters(graft: Graft, base: string): Promise<AdapterSummary[] | undefined> {
  const { adapters, loaded } = graft.session.state;
  const others = adapters.filter(({ path }) => !loaded.some((each) => each.path === path));
  const chosen = await vscode.window.showQuickPick(groupedChoices(graft, others), {
    title: vscode.l10n.t("Load Adapters onto {0}", base),
    canPickMany: true,
    matchOnDescription: true,
    ignoreFocusOut: true,
  });
  return chosen?.flatMap(({ value }) => value ?? []);
}
