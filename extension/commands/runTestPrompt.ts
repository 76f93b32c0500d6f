import * as vscode from "vscode";
import type { Command, Graft } from "../context.ts";
import { adapterOf } from "../knownAdapter.ts";
import type { Question } from "../views/answers.ts";
import { formatModel } from "../views/format.ts";
import { questionTitle } from "../views/prediction.ts";
import { withProgress } from "../views/progress.ts";
import { pathOf } from "./pickers.ts";
import { requireBase, requireTrust, withAdapter } from "./steps.ts";

const lastPromptKey = "graft.lastPrompt";
const lastContextKey = "graft.lastContext";

/** Asks for what the active models read, and shows what they say of it beside the editor. */
export const runTestPrompt: Command = {
  id: "graft.runTestPrompt",
  async run(graft, argument) {
    // Of an adapter's folder or file in the explorer: with that adapter.
    const own = argument instanceof vscode.Uri ? pathOf(argument) : undefined;
    if (own !== undefined && !(await activateOnly(graft, own))) return;
    if (!(await requireBase(graft, vscode.l10n.t("A test prompt")))) return;
    const given = typeof argument === "string" ? argument : undefined;
    const question = await ask(graft, given);
    if (question) await answer(graft, question);
  },
};

/** True once the folder's adapter is loaded and the only one that answers. */
async function activateOnly(graft: Graft, folder: string): Promise<boolean> {
  if (!requireTrust()) return false;
  const { session } = graft;
  const adapter = await adapterOf(session, folder);
  let isActive = false;
  await withAdapter(graft, adapter, async ({ name }) => {
    await session.activate([{ name, weight: 1 }]);
    isActive = true;
  });
  return isActive;
}

/** Streams an answer; one that takes longer shows a notification with Cancel. */
export async function answer({ answers, session }: Graft, question: Question): Promise<void> {
  const { base, active } = session.state;
  const title = vscode.l10n.t("{0} answers", formatModel(base?.name ?? "", active));
  await withProgress(title, (work) => answers.run(question, work));
}

/** An image, a question and where to look, or a text, as the base's task has it. */
async function ask(graft: Graft, given: string | undefined): Promise<Question | undefined> {
  const { base } = graft.session.state;
  if (base?.task === "image-classification") return askImage(given);
  const text = given ?? (await askText(graft, { key: lastPromptKey, isContext: false }));
  if (text === undefined || text.trim() === "") return undefined;
  if (base?.task !== "question-answering") return { text };
  const pair = await askText(graft, { key: lastContextKey, isContext: true });
  return pair === undefined || pair.trim() === "" ? undefined : { text, pair };
}

async function askImage(given: string | undefined): Promise<Question | undefined> {
  if (given !== undefined) return { text: given, image: given };
  const chosen = await vscode.window.showOpenDialog({
    title: vscode.l10n.t("Image to label"),
    filters: { [vscode.l10n.t("Images")]: ["png"] },
  });
  const image = chosen?.[0]?.fsPath;
  return image === undefined ? undefined : { text: image, image };
}

async function askText(
  { extension, session }: Graft,
  { key, isContext }: { key: string; isContext: boolean },
): Promise<string | undefined> {
  const { base, active } = session.state;
  const what = questionTitle(base?.task ?? "language-modeling");
  const model = formatModel(base?.name ?? "", active);
  const title = isContext
    ? vscode.l10n.t("Text in which {0} looks for the answer", model)
    : vscode.l10n.t("{0} for {1}", what, model);
  const text = await vscode.window.showInputBox({
    title,
    placeHolder: isContext ? "" : vscode.l10n.t("What colour is the sky?"),
    value: extension.workspaceState.get<string>(key),
    ignoreFocusOut: true,
  });
  if (text?.trim()) await extension.workspaceState.update(key, text);
  return text;
}
