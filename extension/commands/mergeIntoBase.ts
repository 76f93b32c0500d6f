import * as vscode from "vscode";
import { addFolder } from "../config.ts";
import type { Command, Graft } from "../context.ts";
import { failureOf } from "../failure.ts";
import type { ActiveAdapter } from "../protocol/engineContract.ts";
import type { MergeResult } from "../protocol/writeContract.ts";
import { formatModel, formatShare } from "../views/format.ts";
import { withProgress } from "../views/progress.ts";
import { wake } from "../wake.ts";
import { chooseAdapter, pathsOf } from "./pickers.ts";
import { loadBase, offerReveal, requireTrust, withAdapters } from "./steps.ts";
import { newModelFolder } from "./targets.ts";

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
    defaultUri: newModelFolder([base.name, ...adapters.map((a) => a.name), "merged"]),
  });
  if (!folder) return;
  const result = await write(graft, { model, adapters, folder });
  if (!result) return;
  const load = { title: vscode.l10n.t("Load It"), run: () => loadMerged(graft, result.folder) };
  offerReveal(graft, { text: textFor(model, result, base.dtype), folder }, load);
  await graft.session.refresh();
}

/** Merges; where rounding would swallow much of the change, only after a question. */
async function write(
  graft: Graft,
  {
    model,
    adapters,
    folder,
  }: { model: string; adapters: readonly ActiveAdapter[]; folder: vscode.Uri },
): Promise<MergeResult | undefined> {
  const run = (allowLossy: boolean): Promise<MergeResult> => {
    const params = { adapters: [...adapters], folder: folder.fsPath, allowLossy };
    const title = vscode.l10n.t("Merging {0}", model);
    return withProgress(title, (work) => graft.session.merge(params, work));
  };
  try {
    return await run(false);
  } catch (thrown) {
    const failure = failureOf(thrown);
    if (failure.code !== "lossy-merge") throw thrown;
    return (await acceptLoss(model, failure.message)) ? run(true) : undefined;
  }
}

/** Nothing is written yet: says what would be lost, and offers what loses nothing. */
async function acceptLoss(model: string, detail: string): Promise<boolean> {
  const anyway = vscode.l10n.t("Merge Anyway");
  const other = vscode.l10n.t("Choose Another Way");
  const text = vscode.l10n.t("Merging {0} would lose much of the change.", model);
  const options = { modal: true, detail };
  const chosen = await vscode.window.showWarningMessage(text, options, anyway, other);
  if (chosen !== other) return chosen === anyway;
  const ways = [
    {
      label: vscode.l10n.t("Use It Unmerged"),
      detail: vscode.l10n.t("Active adapters cost little, and nothing of them is rounded"),
      command: "graft.openPlayground",
    },
    {
      label: vscode.l10n.t("Save the Adapter"),
      detail: vscode.l10n.t("A folder in PEFT's layout, to be used beside the base"),
      command: "graft.saveAdapterAs",
    },
    {
      label: vscode.l10n.t("Combine into One Adapter"),
      detail: vscode.l10n.t("Several with their weights become one, beside the base"),
      command: "graft.combineAdapters",
    },
  ];
  const way = await vscode.window.showQuickPick(ways, { title: model, ignoreFocusOut: true });
  if (way) void vscode.commands.executeCommand(way.command);
  return false;
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
