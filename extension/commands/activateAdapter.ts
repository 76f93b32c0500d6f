import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { wake } from "../wake.ts";
import { chooseAdapter } from "./pickers.ts";
import { requireTrust, withAdapter } from "./steps.ts";

/** Makes one adapter the only active one; loads it, and its base, when they are not. */
export const activateAdapter: Command = {
  id: "graft.activateAdapter",
  async run(graft, argument) {
    if (!requireTrust()) return;
    await wake(graft.session);
    const adapter = await chooseAdapter(graft, argument, {
      placeHolder: vscode.l10n.t("Adapter to activate"),
      accept: ({ kind }) => kind !== "active",
    });
    if (!adapter) return;
    await withAdapter(graft, adapter, ({ name }) => graft.session.activate([{ name, weight: 1 }]));
  },
};
