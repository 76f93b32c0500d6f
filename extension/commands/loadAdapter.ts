import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { wake } from "../wake.ts";
import { chooseAdapter } from "./pickers.ts";
import { activateFirst, requireTrust, withAdapter } from "./steps.ts";

export const loadAdapter: Command = {
  id: "graft.loadAdapter",
  async run(graft, argument) {
    if (!requireTrust()) return;
    await wake(graft.session);
    const adapter = await chooseAdapter(graft, argument, {
      placeHolder: vscode.l10n.t("Adapter to load"),
      accept: ({ kind }) => kind !== "active" && kind !== "loaded",
    });
    if (!adapter) return;
    await withAdapter(graft, adapter, ({ name }) => activateFirst(graft, name));
  },
};
