import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { type Grouping, groupings } from "../views/arrangement.ts";
import { chooseOne } from "./chooseOne.ts";

/** Chooses what the Adapters view groups by; the view's menu has an entry for each. */
const groupAdapters: Command = {
  id: "graft.groupAdapters",
  async run({ layout }) {
    const labels: Record<Grouping, string> = {
      base: vscode.l10n.t("Base Model"),
      folder: vscode.l10n.t("Folder"),
      method: vscode.l10n.t("Method"),
    };
    const title = vscode.l10n.t("Group Adapters By");
    const grouping = await chooseOne(groupings, { title, labels, now: layout.current.grouping });
    if (grouping) layout.change({ grouping });
  },
};

export const groupCommands: readonly Command[] = [
  groupAdapters,
  groupBy("graft.groupAdaptersByBase", "base"),
  groupBy("graft.groupAdaptersByFolder", "folder"),
  groupBy("graft.groupAdaptersByMethod", "method"),
];

function groupBy(id: Command["id"], grouping: Grouping): Command {
  return { id, run: ({ layout }) => layout.change({ grouping }) };
}
