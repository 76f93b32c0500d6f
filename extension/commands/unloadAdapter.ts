import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { chooseLoaded, pathsOf } from "./pickers.ts";

export const unloadAdapter: Command = {
  id: "graft.unloadAdapter",
  async run(graft, argument, selected) {
    const { session } = graft;
    const paths = pathsOf(argument, selected);
    if (paths.length > 1) {
      const several = session.state.loaded.filter(({ path }) => paths.includes(path));
      for (const { name } of several) await session.unloadAdapter(name);
      return;
    }
    const adapter = await chooseLoaded(graft, argument, vscode.l10n.t("Adapter to unload"));
    if (adapter) await session.unloadAdapter(adapter.name);
  },
};
