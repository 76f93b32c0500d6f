import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { readHubId } from "./hubId.ts";
import { loadFromHub as load } from "./hubSteps.ts";
import { requireTrust } from "./steps.ts";

/** Downloads a base or an adapter by its id, and loads it. */
export const loadFromHub: Command = {
  id: "graft.loadFromHub",
  async run(graft, argument) {
    if (!requireTrust()) return;
    const given = typeof argument === "string" ? argument : await askForId();
    const place = given === undefined ? undefined : readHubId(given);
    if (place) await load(graft, place);
  },
};

function askForId(): Thenable<string | undefined> {
  return vscode.window.showInputBox({
    title: vscode.l10n.t("Load from the Hugging Face Hub"),
    prompt: vscode.l10n.t("Id of a base model or an adapter; @revision may follow"),
    placeHolder: "owner/name",
    ignoreFocusOut: true,
    validateInput: (text) =>
      text.trim() === "" || readHubId(text)
        ? undefined
        : vscode.l10n.t("Write owner/name or owner/name@revision."),
  });
}
