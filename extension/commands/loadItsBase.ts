import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { chooseAdapter } from "./pickers.ts";
import { loadBaseOf } from "./steps.ts";

/** Loads the base that an adapter was trained on. */
export const loadItsBase: Command = {
  id: "graft.loadItsBase",
  async run(graft, argument) {
    const adapter = await chooseAdapter(graft, argument, {
      placeHolder: vscode.l10n.t("Adapter whose base is to be loaded"),
    });
    if (adapter) await loadBaseOf(graft, adapter);
  },
};
