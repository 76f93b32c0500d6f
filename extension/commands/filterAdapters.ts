import * as vscode from "vscode";
import type { Command } from "../context.ts";

/** Narrows the Adapters view while the user types; leaving the box brings back what was before. */
export const filterAdapters: Command = {
  id: "graft.filterAdapters",
  async run({ layout }, argument) {
    if (typeof argument === "string") return layout.change({ filter: argument.trim() });
    await vscode.commands.executeCommand("graft.adapters.focus");
    const before = layout.current.filter;
    const box = vscode.window.createInputBox();
    box.title = vscode.l10n.t("Filter Adapters");
    box.prompt = vscode.l10n.t("Words in name, method, rank, base or path; empty shows all");
    box.placeholder = vscode.l10n.t("pirate, r 8, smollm…");
    box.value = before;
    let isAccepted = false;
    box.onDidChangeValue((text) => layout.change({ filter: text.trim() }));
    box.onDidAccept(() => {
      isAccepted = true;
      box.hide();
    });
    box.onDidHide(() => {
      if (!isAccepted) layout.change({ filter: before });
      box.dispose();
    });
    box.show();
  },
};
