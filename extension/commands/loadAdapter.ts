import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { wake } from "../wake.ts";
import { chooseAdapter } from "./pickers.ts";
import { requireTrust, withAdapter } from "./steps.ts";

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
    await withAdapter(graft, adapter, async ({ name }) => {
      // The first adapter takes part at once: one that is loaded and does nothing misleads.
      const { active } = graft.session.state;
      if (active.length === 0) await graft.session.activate([{ name, weight: 1 }]);
    });
  },
};
