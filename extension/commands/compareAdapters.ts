import * as vscode from "vscode";
import type { Command, Graft } from "../context.ts";
import { HostError } from "../failure.ts";
import { adapterStatus } from "../state.ts";
import { groupedChoices, pathsOf } from "./pickers.ts";

/**
 * Shows two adapters side by side: those that were selected, the given one and another, or two that
 * the user picks. For the page itself (`chooseFor`) it asks for a partner and returns its path.
 */
export const compareAdapters: Command = {
  id: "graft.compareAdapters",
  async run(graft, argument, selected) {
    await graft.session.discovered();
    const partner = (argument as { chooseFor?: unknown } | undefined)?.chooseFor;
    if (typeof partner === "string") return choosePath(graft, [partner]);
    const given = pathsOf(argument, selected).slice(0, 2);
    const a = given[0] ?? (await choosePath(graft, []));
    const b = a === undefined ? undefined : (given[1] ?? (await choosePath(graft, [a])));
    if (a !== undefined && b !== undefined) graft.comparisons.show([a, b]);
    return undefined;
  },
};

async function choosePath(graft: Graft, without: readonly string[]): Promise<string | undefined> {
  const { state } = graft.session;
  const adapters = state.adapters.filter(
    (adapter) =>
      !without.includes(adapter.path) && adapterStatus(state, adapter).kind !== "unreadable",
  );
  if (adapters.length === 0) {
    const text = vscode.l10n.t(
      "Comparing needs two adapters, and there is no other one. Add a folder that holds more.",
    );
    throw new HostError("bad-request", text);
  }
  const other = state.adapters.find(({ path }) => path === without[0])?.name;
  const placeHolder =
    other === undefined
      ? vscode.l10n.t("First adapter to compare")
      : vscode.l10n.t("Adapter to compare with {0}", other);
  const options = {
    ...{ placeHolder, matchOnDescription: true, matchOnDetail: true },
    // A page behind it takes the focus back when the first question closes.
    ignoreFocusOut: other !== undefined,
  };
  const chosen = await vscode.window.showQuickPick(groupedChoices(graft, adapters), options);
  return chosen?.value?.path;
}
