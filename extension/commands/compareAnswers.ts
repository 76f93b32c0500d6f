import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { requireBase } from "./steps.ts";

/** Lets the base and each loaded adapter answer a thread's last question, in the same thread. */
export const compareAnswers: Command = {
  id: "graft.compareAnswers",
  async run(graft, argument) {
    const conversation = graft.threads.find(argument);
    if (!conversation) return;
    if (!(await requireBase(graft, vscode.l10n.t("A comparison")))) return;
    if (await conversation.compare()) return;
    const load = vscode.l10n.t("Load Adapter…");
    const text = vscode.l10n.t(
      "The base and every loaded adapter have answered. Load another adapter to compare more.",
    );
    const chosen = await vscode.window.showInformationMessage(text, load);
    if (chosen === load) await vscode.commands.executeCommand("graft.loadAdapter");
  },
};
