import * as vscode from "vscode";
import type { Command, Graft } from "../context.ts";
import type { PromptRequest } from "../views/promptLenses.ts";
import { promptFiles } from "../views/prompts.ts";
import { chooseWorkspaceFile } from "../views/workspaceFiles.ts";

/** Runs a prompt file, as its lenses do; asks for what they know. */
export const runPromptFile: Command = {
  id: "graft.runPromptFile",
  async run(graft, argument) {
    const request = isRequest(argument) ? argument : await ask(graft, argument);
    if (!request) return;
    const { tests, compare } = await graft.prompts.host();
    await vscode.commands
      .executeCommand("testing.showMostRecentOutput")
      .then(undefined, () => null);
    const outcomes = await tests.runRequest(request);
    if (request.columns === "all" && request.row === undefined)
      await compare(request.uri, outcomes);
  },
};

function isRequest(argument: unknown): argument is PromptRequest {
  return typeof argument === "object" && argument !== null && "columns" in argument;
}

async function ask(graft: Graft, argument: unknown): Promise<PromptRequest | undefined> {
  const uri = argument instanceof vscode.Uri ? argument : await choosePromptFile();
  if (!uri) return undefined;
  const { active } = graft.session.state;
  const items = [
    { label: vscode.l10n.t("Base and adapters"), columns: "all" as const },
    { label: vscode.l10n.t("Base"), columns: "base" as const },
    ...(active.length > 0
      ? [{ label: vscode.l10n.t("Active adapters"), columns: "active" as const }]
      : []),
  ];
  const placeHolder = vscode.l10n.t("Who answers?");
  const chosen = await vscode.window.showQuickPick(items, { placeHolder });
  return chosen && { uri, columns: chosen.columns };
}

/** The prompt file in the editor, or one of the workspace that the user picks. */
export async function choosePromptFile(): Promise<vscode.Uri | undefined> {
  const open = vscode.window.activeTextEditor?.document;
  if (open && vscode.languages.match({ scheme: "file", pattern: promptFiles }, open) > 0)
    return open.uri;
  return chooseWorkspaceFile(promptFiles, {
    none: vscode.l10n.t("There is no prompt file here: one that ends in .prompt.yml."),
    placeHolder: vscode.l10n.t("Prompt file"),
  });
}
