import * as vscode from "vscode";
import type { Command, Graft } from "../context.ts";
import { formatModel } from "../views/format.ts";
import { withProgress } from "../views/progress.ts";
import { requireBase } from "./steps.ts";

const lastPromptKey = "graft.lastPrompt";

/** Asks for a prompt and shows the answer of the active models beside the editor. */
export const runTestPrompt: Command = {
  id: "graft.runTestPrompt",
  async run(graft, argument) {
    if (!(await requireBase(graft, vscode.l10n.t("A test prompt")))) return;
    const prompt = typeof argument === "string" ? argument : await askPrompt(graft);
    if (prompt === undefined || prompt.trim() === "") return;
    await answer(graft, prompt);
  },
};

/** Streams an answer; one that takes longer shows a notification with Cancel. */
export async function answer({ answers, session }: Graft, prompt: string): Promise<void> {
  const { base, active } = session.state;
  const title = vscode.l10n.t("{0} answers", formatModel(base?.name ?? "", active));
  await withProgress(title, (work) => answers.run(prompt, work));
}

async function askPrompt({ extension, session }: Graft): Promise<string | undefined> {
  const { base, active } = session.state;
  const prompt = await vscode.window.showInputBox({
    title: vscode.l10n.t("Test prompt for {0}", formatModel(base?.name ?? "", active)),
    placeHolder: vscode.l10n.t("What colour is the sky?"),
    value: extension.workspaceState.get<string>(lastPromptKey),
    ignoreFocusOut: true,
  });
  if (prompt?.trim()) await extension.workspaceState.update(lastPromptKey, prompt);
  return prompt;
}
