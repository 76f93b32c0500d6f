import * as vscode from "vscode";
import type { Command, Graft } from "../context.ts";
import type { State } from "../state.ts";

type Item = vscode.QuickPickItem & { command?: string };

/** What makes sense now; opened from the status bar. */
export const showMenu: Command = {
  id: "graft.showMenu",
  async run({ session }: Graft) {
    const chosen = await vscode.window.showQuickPick(menu(session.state), { title: "Graft" });
    if (chosen?.command) await vscode.commands.executeCommand(chosen.command);
  },
};

function menu(state: State): Item[] {
  const line: Item = { label: "", kind: vscode.QuickPickItemKind.Separator };
  const base = state.base !== null;
  const active = state.active.length > 0;
  const when = (shown: boolean, ...items: Item[]): Item[] => (shown ? items : []);
  return [
    ...when(base, item("play", vscode.l10n.t("Run Test Prompt…"), "graft.runTestPrompt")),
    item("comment-discussion", vscode.l10n.t("Open Playground"), "graft.openPlayground"),
    line,
    item("record", vscode.l10n.t("Activate Adapter…"), "graft.activateAdapter"),
    ...when(
      active,
      item("circle-slash", vscode.l10n.t("Deactivate Adapters"), "graft.deactivateAdapters"),
      item("git-merge", vscode.l10n.t("Merge into Base…"), "graft.mergeIntoBase"),
      item("package", vscode.l10n.t("Export as ONNX…"), "graft.exportOnnx"),
    ),
    item("server-environment", vscode.l10n.t("Load Base Model…"), "graft.loadBaseModel"),
    ...when(
      base,
      item("debug-disconnect", vscode.l10n.t("Unload Base Model"), "graft.unloadBaseModel"),
    ),
    item("search", vscode.l10n.t("Search the Hub…"), "graft.searchHub"),
    item("mortar-board", vscode.l10n.t("Train Adapter…"), "graft.trainAdapter"),
    line,
    item("book", vscode.l10n.t("Get Started"), "graft.openWalkthrough"),
    item("debug-restart", vscode.l10n.t("Restart Engine"), "graft.restartEngine"),
    item("output", vscode.l10n.t("Show Log"), "graft.showLog"),
  ];
}

function item(icon: string, label: string, command: string): Item {
  return { label, command, iconPath: new vscode.ThemeIcon(icon) };
}
