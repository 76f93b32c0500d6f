import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { chooseLoaded } from "./pickers.ts";

export const unloadAdapter: Command = {
  id: "graft.unloadAdapter",
  async run(graft, argument) {
    const adapter = await chooseLoaded(graft, argument, vscode.l10n.t("Adapter to unload"));
    if (adapter) await graft.session.unloadAdapter(adapter.name);
  },
};
