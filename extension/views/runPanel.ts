import { basename } from "node:path";
import * as vscode from "vscode";
import type { EngineProcess } from "../engineProcess.ts";
import { failureOf } from "../failure.ts";
import { Connection, type Handlers } from "../protocol/connection.ts";
import type {
  RunPageContract,
  RunPageHostContract,
  RunPageState,
  ShownRun,
} from "../protocol/runPageContract.ts";
import { mostSteps } from "../protocol/runSteps.ts";
import type { RunNews, Runs } from "../training/runs.ts";
import { OpenPanels } from "./openPanels.ts";
import { savePageFile } from "./pageFiles.ts";
import { runCommand } from "./runCommand.ts";
import { throttle } from "./throttle.ts";
import { panelTransport, showPage } from "./webviewHtml.ts";

const viewType = "graft.run";
/** Small runs report hundreds of times a second; a page is told so often at most, in milliseconds. */
const tellEvery = 100;

/** Pages of runs: one panel a run, alive as long as its tab. */
export class RunPanels implements vscode.Disposable {
  private readonly open = new OpenPanels();
  private readonly subscriptions: vscode.Disposable;

  constructor(
    private readonly extension: vscode.ExtensionContext,
    private readonly parts: { runs: Runs; engine: Pick<EngineProcess, "request"> },
  ) {
    this.subscriptions = vscode.Disposable.from(
      this.open,
      vscode.window.registerWebviewPanelSerializer(viewType, {
        deserializeWebviewPanel: async (panel, state) => {
          const folders = foldersOf(state);
          const [folder] = folders;
          if (folder === undefined) return panel.dispose();
          this.attach(panel, folders);
          await this.parts.runs.refresh().catch(() => undefined);
        },
      }),
    );
  }

  show(folder: string): void {
    if (this.open.reveal(folder)) return;
    const title = basename(folder);
    const column = vscode.ViewColumn.Active;
    this.attach(vscode.window.createWebviewPanel(viewType, title, column), [folder]);
  }

  /** Closes the page of a run that is no more. */
  close(folder: string): void {
    this.open.close(folder);
  }

  dispose(): void {
    this.subscriptions.dispose();
  }

  private attach(panel: vscode.WebviewPanel, folders: string[]): void {
    const { extensionUri } = this.extension;
    const page = new RunPage(folders, this.parts);
    const connection = new Connection<RunPageHostContract, RunPageContract>(
      panelTransport(panel),
      page.handlers,
    );
    page.onState = (state) => void connection.request("update", state).catch(() => undefined);
    const waiting = new Map<string, RunNews>();
    const telling = throttle(() => {
      for (const news of waiting.values())
        void connection.request("append", news).catch(() => undefined);
      waiting.clear();
    }, tellEvery);
    const listening = this.parts.runs.onDidChange((news) => {
      if (!panel.visible) return;
      if (!news) return void page.refresh();
      const { folder } = news.summary;
      if (!page.folders.includes(folder)) return;
      const events = [...(waiting.get(folder)?.events ?? []), ...news.events];
      waiting.set(folder, { summary: news.summary, events });
      telling.request();
    });
    showPage(panel, extensionUri, "run");
    this.open.put(folders[0] ?? "", panel, () => void page.refresh());
    panel.onDidDispose(() => {
      listening.dispose();
      this.open.forget(panel);
    });
  }
}

/** What one page shows, and what its buttons do. */
class RunPage {
  onState: (state: RunPageState) => void = () => undefined;
  private ready = false;

  readonly handlers: Handlers<RunPageHostContract> = {
    ready: () => {
      this.ready = true;
      return this.read();
    },
    saveFile: (file) => savePageFile(file),
    pause: () => runCommand("graft.pauseRun", this.folder),
    resume: () => runCommand("graft.resumeRun", this.folder),
    stop: () => runCommand("graft.stopRun", this.folder),
    goOn: () => runCommand("graft.continueRun", this.folder),
    saveCheckpoint: () => runCommand("graft.saveRunCheckpoint", this.folder),
    loadAdapter: () => runCommand("graft.loadRunAdapter", this.folder),
    inspect: ({ path }) => runCommand("graft.openInspector", path),
    openFolder: () => runCommand("revealFileInOS", vscode.Uri.file(this.folder)),
    exportJob: () => runCommand("graft.exportTrainingJob", this.folder),
    compareWith: async ({ folder, isShown }) => {
      const others = this.folders.slice(1).filter((each) => each !== folder);
      this.folders = [this.folder, ...others, ...(isShown ? [folder] : [])];
      await this.refresh();
      return null;
    },
  };

  constructor(
    public folders: string[],
    private readonly parts: { runs: Runs; engine: Pick<EngineProcess, "request"> },
  ) {}

  private get folder(): string {
    return this.folders[0] ?? "";
  }

  async refresh(): Promise<void> {
    if (this.ready) this.onState(await this.read());
  }

  private async read(): Promise<RunPageState> {
    const others = this.parts.runs.all
      .filter(({ folder }) => folder !== this.folder)
      .map(({ folder, name }) => ({ folder, name }));
    const read = (folder: string): Promise<ShownRun> =>
      this.parts.engine.request("readRun", { folder, steps: mostSteps });
    try {
      return { runs: await Promise.all(this.folders.map(read)), others, problem: null };
    } catch (thrown) {
      return { runs: [], others, problem: failureOf(thrown).message };
    }
  }
}

/** What the page saved: untrusted until parsed. */
function foldersOf(state: unknown): string[] {
  const { folders } = (state ?? {}) as { folders?: unknown };
  return Array.isArray(folders) ? folders.filter((each) => typeof each === "string") : [];
}
