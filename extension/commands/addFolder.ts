import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { browse } from "./pickers.ts";

type Setting = "adapterFolders" | "baseModelFolders";

/** Adds a folder to look for adapters or base models in. */
export const addFolder: Command = {
  id: "graft.addFolder",
  async run(graft, argument) {
    const setting = isSetting(argument) ? argument : await askSetting();
    if (setting) await browse(graft, setting, vscode.l10n.t("Add Folder"));
  },
};

async function askSetting(): Promise<Setting | undefined> {
  const items: (vscode.QuickPickItem & { setting: Setting })[] = [
    { label: vscode.l10n.t("Folder with adapters"), setting: "adapterFolders" },
    { label: vscode.l10n.t("Folder with base models"), setting: "baseModelFolders" },
  ];
  const placeHolder = vscode.l10n.t("What Graft is to look for in the folder");
  return (await vscode.window.showQuickPick(items, { placeHolder }))?.setting;
}

function isSetting(argument: unknown): argument is Setting {
  return argument === "adapterFolders" || argument === "baseModelFolders";
}
