import * as path from "node:path";
import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { HostError } from "../failure.ts";
import { chooseRun, isLive } from "./runTargets.ts";
import { moveToTrash } from "./trash.ts";

/** Moves a run's folder to the trash, with its checkpoints and its adapter, after a question. */
export const deleteRun: Command = {
  id: "graft.deleteRun",
  async run(graft, argument) {
    const run = await chooseRun(graft, argument, {
      placeHolder: vscode.l10n.t("Run to delete from the disk"),
      accept: (each) => !isLive(each),
    });
    if (!run) return;
    if (run.process !== null)
      throw new HostError("bad-request", vscode.l10n.t("{0} trains. Stop it first.", run.name));
    const used = graft.session.state.loaded.filter(({ path }) => isIn(path, run.folder));
    const sentences = [
      vscode.l10n.t("The folder {0} is moved to the trash.", run.folder),
      run.adapter !== null && vscode.l10n.t("It holds the adapter that was trained."),
      used.length > 0 && vscode.l10n.t("It is loaded, and is unloaded with that."),
    ];
    const detail = sentences.filter((sentence) => sentence !== false).join(" ");
    const text = vscode.l10n.t("Delete {0} from the disk?", run.name);
    const move = vscode.l10n.t("Move to Trash");
    const options = { modal: true, detail };
    if ((await vscode.window.showWarningMessage(text, options, move)) !== move) return;
    if (!(await moveToTrash([vscode.Uri.file(run.folder)], { recursive: true }))) return;
    for (const { name } of used) await graft.session.unloadAdapter(name);
    graft.runPanels.close(run.folder);
    await graft.runs.refresh();
    vscode.window.setStatusBarMessage(vscode.l10n.t("$(trash) {0} deleted", run.name), 5000);
  },
};

/** Another run's folder may begin with the same letters. */
function isIn(place: string, folder: string): boolean {
  return place === folder || place.startsWith(folder + path.sep);
}
