import { homedir } from "node:os";
import * as path from "node:path";
import * as vscode from "vscode";
import { addFolder } from "../config.ts";
import type { Command, Graft } from "../context.ts";
import type { ActiveAdapter, MergeResult } from "../protocol/engineContract.ts";
import { formatModel, formatShare } from "../views/format.ts";
import { withProgress } from "../views/progress.ts";
import { wake } from "../wake.ts";
import { chooseAdapter, pathsOf } from "./pickers.ts";
import { loadBase, offerReveal, requireTrust, withAdapters } from "./steps.ts";

/** Below this share, what rounding swallowed is not worth a sentence. */
const noticeableShare = 0.01;

/** Writes the base with the given adapter, or with the active ones, merged in: a new model folder. */
export const mergeIntoBase: Command = {
  id: "graft.mergeIntoBase",
  async run(graft, argument, selected) {
    if (!requireTrust()) return;
    await wake(graft.session);
    const { active } = graft.session.state;
    const given = pathsOf(argument, selected);
    if (given.length === 0 && active.length > 0) return merge(graft, active);
    const adapter = await chooseAdapter(graft, given[0], {
      placeHolder: vscode.l10n.t("Adapter to merge into its base"),
    });
    if (!adapter) return;
    const paths = given.length > 1 ? given : [adapter.path];
    await withAdapters(graft, paths, (loaded) => merge(graft, loaded.map(weighted(graft))));
  },
};

/** An adapter with the weight that it is active with, or as trained. */
function weighted({ session }: Graft): (adapter: { name: string }) => ActiveAdapter {
  return ({ name }) => session.state.active.find((a) => a.name === name) ?? { name, weight: 1 };
}

async function merge(graft: Graft, adapters: readonly ActiveAdapter[]): Promise<void> {
  const { base } = graft.session.state;
  if (!base) return;
  const model = formatModel(base.name, adapters);
  const folder = await vscode.window.showSaveDialog({
    title: vscode.l10n.t("Merge {0} into a new folder", model),
    saveLabel: vscode.l10n.t("Merge"),
    defaultUri: defaultFolder(base.name, adapters),
  });
  if (!folder) return;
  const params = { adapters: [...adapters], folder: folder.fsPath };
  const result = await withProgress(vscode.l10n.t("Merging {0}", model), (work) =>
    graft.session.merge(params, work),
  );
  const load = { title: vscode.l10n.t("Load It"), run: () => loadMerged(graft, result.folder) };
  offerReveal(graft, { text: textFor(model, result, base.dtype), folder }, load);
  await graft.session.refresh();
}

/** Beside the workspace, so that a model of many gigabytes does not become part of it. */
function defaultFolder(base: string, adapters: readonly ActiveAdapter[]): vscode.Uri {
  const workspace = vscode.workspace.workspaceFolders?.[0]?.uri;
  const parent = workspace?.scheme === "file" ? path.dirname(workspace.fsPath) : homedir();
  const name = [base, ...adapters.map((a) => a.name), "merged"].join("-");
  return vscode.Uri.file(path.join(parent, name.replace(/[\\/:]/g, "-")));
}

function textFor(model: string, result: MergeResult, dtype: string): string {
  const { folder, changedTensors, swallowed, worst, untied } = result;
  const sentences = [
    vscode.l10n.t("{0} merged into {1}: {2} tensors changed.", model, folder, changedTensors),
  ];
  const [first] = worst;
  if (swallowed > noticeableShare && first) {
    const lost = vscode.l10n.t(
      "Rounding to {0} swallowed {1} of the change, most in {2} ({3}).",
      dtype,
      formatShare(swallowed),
      first.name,
      formatShare(first.swallowed),
    );
    sentences.push(lost);
  }
  if (untied) sentences.push(vscode.l10n.t("The head is no longer tied to the embeddings."));
  return sentences.join(" ");
}

/** Loads the merged model, known from now on wherever it was written. */
async function loadMerged(graft: Graft, folder: string): Promise<void> {
  const { session } = graft;
  await session.discovered();
  if (!session.state.bases.some(({ path: own }) => own === folder)) {
    await addFolder("baseModelFolders", folder);
    await session.refresh();
  }
  await loadBase(graft, folder);
}
