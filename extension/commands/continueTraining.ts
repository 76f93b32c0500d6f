import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { newDraft } from "../training/draft.ts";
import { untrusted } from "../training/trust.ts";
import { askForBase } from "./askForBase.ts";
import { chooseAdapter } from "./pickers.ts";
import { requireTrust } from "./steps.ts";

/** Opens the form that trains a saved adapter on; the result is an adapter of its own. */
export const continueTraining: Command = {
  id: "graft.continueTraining",
  async run(graft, argument) {
    if (!requireTrust(untrusted().message)) return;
    const adapter = await chooseAdapter(graft, argument, {
      placeHolder: vscode.l10n.t("Adapter to train on"),
      accept: ({ kind }) => kind !== "unreadable" && kind !== "unsupported",
    });
    if (!adapter) return;
    const path = adapter.basePath ?? (await askForBase(graft, adapter));
    if (path === undefined) return;
    const base = graft.session.state.bases.find((each) => each.path === path);
    await graft.trainPanels.show(newDraft(base ?? { path, parameters: 0 }, adapter));
  },
};
