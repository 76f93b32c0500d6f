import * as path from "node:path";
import type * as vscode from "vscode";
import type { EngineProcess } from "./engineProcess.ts";
import type { Hub } from "./hub.ts";
import type { Layout } from "./layout.ts";
import type { RecentLog } from "./recentLog.ts";
import type { Session } from "./session.ts";
import type { Runs } from "./training/runs.ts";
import type { Answers } from "./views/answers.ts";
import type { ComparePanels } from "./views/comparePanel.ts";
import type { InlineThreads } from "./views/inlineThreads.ts";
import type { InspectorPanels } from "./views/inspectorPanel.ts";
import type { PlaygroundPanel } from "./views/playgroundPanel.ts";
import type { Prompts } from "./views/prompts.ts";
import type { Reports } from "./views/reports.ts";
import type { RunPanels } from "./views/runPanel.ts";
import type { StatusPanel } from "./views/statusPanel.ts";
import type { TrainPanels } from "./views/trainPanel.ts";

/** What a command may use. */
export interface Graft {
  readonly extension: vscode.ExtensionContext;
  readonly log: vscode.LogOutputChannel;
  readonly recent: RecentLog;
  readonly engine: EngineProcess;
  readonly session: Session;
  readonly layout: Layout;
  readonly hub: Hub;
  readonly answers: Answers;
  readonly threads: InlineThreads;
  readonly comparisons: ComparePanels;
  readonly inspectors: InspectorPanels;
  readonly playground: PlaygroundPanel;
  readonly status: StatusPanel;
  readonly prompts: Prompts;
  readonly reports: Reports;
  readonly runs: Runs;
  readonly runPanels: RunPanels;
  readonly trainPanels: TrainPanels;
}

/** A command: one file under commands/, one line in commands/index.ts, one entry in package.json. */
export interface Command {
  id: `graft.${string}`;
  /** @param selected all rows that are selected, where a tree's menu was used on several */
  run(graft: Graft, argument?: unknown, selected?: unknown): unknown;
}

/** The folder in which rounded weights of bases are kept, for answers and for training. */
export function quantizedFolder({ globalStorageUri }: vscode.ExtensionContext): string {
  return path.join(globalStorageUri.fsPath, "quantized");
}

/** The window's built-in sample, shipped with the extension. */
export function samplePath(extension: vscode.ExtensionContext): string {
  return extension.asAbsolutePath("media/sample");
}
