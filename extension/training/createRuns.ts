import { homedir } from "node:os";
import * as vscode from "vscode";
import { quantizedFolder } from "../context.ts";
import type { EngineProcess } from "../engineProcess.ts";
import { launchRun } from "./launch.ts";
import { runsFolder } from "./place.ts";
import { Runs } from "./runs.ts";

/** Whether something trained when this window was last looked at. */
const liveKey = "graft.runIsLive";

/** The runs of this window. After a reload they are looked at at once where one was training. */
export function createRuns(
  extension: vscode.ExtensionContext,
  { engine, log }: { engine: EngineProcess; log: vscode.LogOutputChannel },
): Runs {
  // A run has an engine of its own, which is told the run's folder.
  const program = extension.asAbsolutePath("dist/engine.cjs");
  const runs = new Runs({
    engine,
    parents: () => [placeOfRuns()],
    launch: (folder) => {
      const tokens = vscode.Uri.joinPath(extension.globalStorageUri, "tokens").fsPath;
      const l10n = vscode.l10n.uri?.fsPath ?? "";
      return launchRun(folder, { program, l10n, tokens, quantized: quantizedFolder(extension) });
    },
    warn: (text) => log.warn(text),
  });
  const { workspaceState } = extension;
  let wasLive = workspaceState.get(liveKey, false);
  const listening = runs.onDidChange(() => {
    const isLive = runs.live.length > 0;
    if (isLive === wasLive) return;
    wasLive = isLive;
    void workspaceState.update(liveKey, isLive);
  });
  extension.subscriptions.push(runs, listening);
  const refresh = (): void => void runs.refresh().catch((thrown) => log.warn(String(thrown)));
  if (wasLive) refresh();
  extension.subscriptions.push(
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("graft.training.folder") && runs.isRead) refresh();
    }),
  );
  return runs;
}

/** The folder that holds runs. */
export function placeOfRuns(): string {
  const setting = vscode.workspace.getConfiguration("graft").get("training.folder", "");
  const first = vscode.workspace.workspaceFolders?.[0]?.uri;
  const workspace = first?.scheme === "file" ? first.fsPath : undefined;
  return runsFolder(setting, { workspace, home: homedir() });
}
