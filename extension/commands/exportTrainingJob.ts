import * as path from "node:path";
import * as vscode from "vscode";
import { type Command, type Graft, quantizedFolder } from "../context.ts";
import type { RunConfig } from "../protocol/trainingContract.ts";
import { placeOfRuns } from "../training/createRuns.ts";
import { draftOf } from "../training/draft.ts";
import { withProgress } from "../views/progress.ts";
import { chooseRun } from "./runTargets.ts";
import { offerReveal, requireTrust } from "./steps.ts";

/** Writes a run as a folder that trains the same in Python; of the form's settings before it has begun. */
export const exportTrainingJob: Command = {
  id: "graft.exportTrainingJob",
  async run(graft, argument) {
    if (!requireTrust()) return;
    const chosen = await chooseConfig(graft, argument);
    if (!chosen) return;
    const { config } = chosen;
    const folder = await vscode.window.showSaveDialog({
      title: vscode.l10n.t("Export {0} into a new folder", config.name),
      saveLabel: vscode.l10n.t("Export"),
      defaultUri: newJobFolder(config.name),
    });
    if (!folder) return;
    const quantCache = quantizedFolder(graft.extension);
    const params = { ...chosen, folder: folder.fsPath, quantCache };
    const title = vscode.l10n.t("Exporting {0}", config.name);
    const job = await withProgress(title, (work) =>
      graft.engine.request("exportTrainingJob", params, work),
    );
    const text = vscode.l10n.t("{0} is exported as a Python job to {1}.", config.name, job.folder);
    const readme = vscode.Uri.file(path.join(job.folder, "README.md"));
    const show = {
      title: vscode.l10n.t("How to Run It"),
      run: () => vscode.commands.executeCommand("markdown.showPreview", readme),
    };
    const uri = vscode.Uri.file(job.folder);
    offerReveal(graft, { text: [text, ...job.notes].join(" "), folder: uri }, show);
  },
};

/** A config as it is given, or that of a run, whose losses go along. */
async function chooseConfig(
  graft: Graft,
  argument: unknown,
): Promise<{ config: RunConfig; run?: string } | undefined> {
  const draft = draftOf(argument);
  if (draft) return { config: draft };
  const placeHolder = vscode.l10n.t("Run to export as a Python job");
  const run = await chooseRun(graft, argument, { placeHolder });
  if (!run) return undefined;
  const { folder } = run;
  const { config } = await graft.engine.request("readRun", { folder, steps: 0 });
  return { config, run: folder };
}

/** Beside the folder of runs: what is in there is taken for a run. */
function newJobFolder(name: string): vscode.Uri {
  const parent = path.dirname(placeOfRuns());
  return vscode.Uri.file(path.join(parent, `${name}-job`.replace(/[\\/:]/g, "-")));
}
