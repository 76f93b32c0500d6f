import * as vscode from "vscode";
import type { Command, Graft } from "../context.ts";
import type { AdapterInfo } from "../protocol/engineContract.ts";
import type { RunSummary } from "../protocol/runsContract.ts";
import { withProgress } from "../views/progress.ts";
import { wake } from "../wake.ts";
import { chooseRun } from "./runTargets.ts";
import { loadBase, requireTrust } from "./steps.ts";

/** Puts what a run has learned so far to use: its newest checkpoint, or the finished adapter. */
export const loadRunAdapter: Command = {
  id: "graft.loadRunAdapter",
  async run(graft, argument) {
    if (!requireTrust()) return;
    const run = await chooseRun(graft, argument, {
      placeHolder: vscode.l10n.t("Run whose adapter is to be loaded"),
      accept: ({ adapter }) => adapter !== null,
      none: vscode.l10n.t(
        "No run has written an adapter yet. Wait for the first checkpoint of one.",
      ),
    });
    if (!run) return;
    if (run.adapter === null) {
      const text = vscode.l10n.t(
        "{0} has not written an adapter yet. Wait for its first checkpoint, or save one now.",
        run.name,
      );
      return void vscode.window.showInformationMessage(text);
    }
    await wake(graft.session);
    const { folder, adapter } = run;
    const { config } = await graft.engine.request("readRun", { folder, steps: 0 });
    const base = run.ownBase ?? config.base;
    const isThere = graft.session.state.base?.path === base;
    if (!isThere && !(await loadBase(graft, base, { forAdapter: adapter }))) return;
    const { name } = await exchange(graft, run, adapter);
    await graft.session.activate([{ name, weight: 1 }]);
  },
};

/** Loads an adapter in place of an earlier one of the same run, under the run's name. */
async function exchange({ session }: Graft, run: RunSummary, path: string): Promise<AdapterInfo> {
  const isOfRun = (each: { path: string }): boolean =>
    each.path === run.folder || /^[/\\]/.test(after(each.path, run.folder));
  for (const { name } of session.state.loaded.filter(isOfRun)) await session.unloadAdapter(name);
  const title = vscode.l10n.t("Loading {0}", run.name);
  const loaded = await withProgress(title, (work) => session.loadAdapter(path, work));
  const isTaken = session.state.loaded.some(({ name }) => name === run.name);
  if (isTaken) return loaded;
  await session.renameAdapter(loaded.name, run.name);
  return { ...loaded, name: run.name };
}

function after(path: string, folder: string): string {
  return path.startsWith(folder) ? path.slice(folder.length) : "";
}
