import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { wake } from "../wake.ts";
import { chooseLoaded } from "./pickers.ts";

/** Gives a loaded adapter another name; its files stay as they are. */
export const renameAdapter: Command = {
  id: "graft.renameAdapter",
  async run(graft, argument) {
    const { session } = graft;
    await wake(session);
    const adapter = await chooseLoaded(graft, argument, vscode.l10n.t("Adapter to rename"));
    if (!adapter) return;
    const { name } = adapter;
    const taken = session.state.loaded.map((l) => l.name).filter((other) => other !== name);
    const newName = await vscode.window.showInputBox({
      title: vscode.l10n.t("Rename {0}", name),
      prompt: vscode.l10n.t("The name while it is loaded; its folder keeps its own"),
      value: name,
      validateInput: (value) => problemOf(value.trim(), taken),
    });
    if (newName !== undefined) await session.renameAdapter(name, newName.trim());
  },
};

function problemOf(name: string, taken: readonly string[]): string | undefined {
  if (taken.includes(name)) return vscode.l10n.t("Another loaded adapter has this name");
  return name === "" || /[\\/]|^\.{1,2}$/.test(name)
    ? vscode.l10n.t("A name that a folder can have")
    : undefined;
}
