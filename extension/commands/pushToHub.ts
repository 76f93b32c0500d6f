import * as vscode from "vscode";
import type { Command, Graft } from "../context.ts";
import { failureOf } from "../failure.ts";
import type { HubAccount, PushPlanResult } from "../protocol/hubContract.ts";
import { formatBytes } from "../views/format.ts";
import { withProgress } from "../views/progress.ts";
import { wake } from "../wake.ts";
import { chooseLoaded } from "./pickers.ts";
import { askForToken } from "./signIn.ts";

/** Uploads a loaded adapter with its model card in one commit, after a summary of what would leave. */
export const pushToHub: Command = {
  id: "graft.pushToHub",
  async run(graft, argument) {
    await wake(graft.session);
    const adapter = await chooseLoaded(
      graft,
      argument,
      vscode.l10n.t("Adapter to push to the Hub"),
    );
    const { base } = graft.session.state;
    if (!adapter || !base) return;
    const account = await accountFor(graft);
    if (!account) return;
    const repo = await askForRepo(account, adapter.name);
    if (repo === undefined) return;
    const isPrivate = await askForVisibility(repo);
    if (isPrivate === undefined) return;
    const params = { base: base.path, name: adapter.name, repoId: repo, private: isPrivate };
    const plan = await withProgress(vscode.l10n.t("Preparing {0}", repo), ({ signal }) =>
      graft.hub.ask("planPush", params, { signal }),
    );
    if (!(await confirm(plan))) return;
    const title = vscode.l10n.t("Pushing {0} to {1}", adapter.name, repo);
    // The digest is what was agreed to: nothing else leaves.
    const asked = { ...params, digest: plan.digest };
    const { url } = await withProgress(title, (work) => graft.hub.ask("pushToHub", asked, work));
    const open = vscode.l10n.t("Open on the Hub");
    const text = vscode.l10n.t("{0} pushed to {1}.", adapter.name, repo);
    const chosen = await vscode.window.showInformationMessage(text, open);
    if (chosen === open) await vscode.env.openExternal(vscode.Uri.parse(url));
  },
};

/** Whose token is used; without one, or with one that the Hub does not take, it is asked for. */
async function accountFor(graft: Graft): Promise<HubAccount | undefined> {
  try {
    return await graft.hub.ask("whoAmI", {});
  } catch (thrown) {
    if (failureOf(thrown).code !== "unauthorized") throw thrown;
    return askForToken(graft);
  }
}

function askForRepo(account: HubAccount, name: string): Thenable<string | undefined> {
  return vscode.window.showInputBox({
    title: vscode.l10n.t("Push to the Hugging Face Hub"),
    prompt: vscode.l10n.t("Repository: owner/name. It is made when it does not exist."),
    value: `${account.name}/${name}`,
    ignoreFocusOut: true,
    validateInput: (text) =>
      /^[\w.-]+\/[\w.-]+$/.test(text) ? undefined : vscode.l10n.t("Write owner/name."),
  });
}

async function askForVisibility(title: string): Promise<boolean | undefined> {
  const items = [
    {
      label: vscode.l10n.t("Private"),
      detail: vscode.l10n.t("Only you and your organization see it"),
      isPrivate: true,
    },
    {
      label: vscode.l10n.t("Public"),
      detail: vscode.l10n.t("Everybody can see and download it"),
      isPrivate: false,
    },
  ];
  const options = { title, ignoreFocusOut: true };
  return (await vscode.window.showQuickPick(items, options))?.isPrivate;
}

/** The last stop before anything leaves the machine. */
async function confirm(plan: PushPlanResult): Promise<boolean> {
  const { repoId, exists, visibility, files, bytes, account, warnings } = plan;
  const push = vscode.l10n.t("Push");
  const size = formatBytes(bytes);
  const text = exists
    ? vscode.l10n.t("Push {0} to {1}, a {2} repository that exists?", size, repoId, visibility)
    : vscode.l10n.t("Push {0} to {1}, a new {2} repository?", size, repoId, visibility);
  const list = files.map((file) => `${file.path}  ${formatBytes(file.size)}  ${file.change}`);
  const head = vscode.l10n.t("One commit by {0} with these files:", account);
  const detail = [head, ...list, ...warnings].join("\n");
  return (await vscode.window.showInformationMessage(text, { modal: true, detail }, push)) === push;
}
