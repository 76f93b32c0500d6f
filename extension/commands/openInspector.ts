import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { chooseAdapter, pathOf } from "./pickers.ts";

export const openInspector: Command = {
  id: "graft.openInspector",
  async run(graft, argument) {
    // A path needs no list: an adapter can be inspected before it is known.
    const path = pathOf(argument);
    if (path !== undefined) return graft.inspectors.show(path);
    const adapter = await chooseAdapter(graft, undefined, {
      placeHolder: vscode.l10n.t("Adapter to inspect"),
    });
    return adapter && graft.inspectors.show(adapter.path);
  },
};
