import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { wake } from "../wake.ts";
import { chooseLoaded } from "./pickers.ts";
import { askName } from "./targets.ts";

/** Gives a loaded adapter another name; its files stay as they are. */
export const renameAdapter: Command = {
  id: "graft.renameAdapter",
  async run(graft, argument) {
    const { session } = graft;
    await wake(session);
    const adapter = await chooseLoaded(graft, argument, vscode.l10n.t("Adapter to rename"));
    if (!adapter) return;
    const { name } = adapter;
    const newName = await askName(graft, {
      title: vscode.l10n.t("Rename {0}", name),
      prompt: vscode.l10n.t("The name while it is loaded; its folder keeps its own"),
      value: name,
      own: name,
    });
    if (newName !== undefined) await session.renameAdapter(name, newName);
  },
};
