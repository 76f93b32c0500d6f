import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { openThread } from "./runSelectionAsPrompt.ts";

/** Asks the selection of the base and of each loaded adapter, in one thread under it. */
export const compareSelection: Command = {
  id: "graft.compareSelection",
  async run(graft) {
    const conversation = await openThread(graft, vscode.l10n.t("A comparison"));
    await conversation?.compare();
  },
};
