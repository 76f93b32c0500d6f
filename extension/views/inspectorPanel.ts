import * as path from "node:path";
import * as vscode from "vscode";
import type { EngineProcess } from "../engineProcess.ts";
import { failureOf } from "../failure.ts";
import { Connection, type Handlers } from "../protocol/connection.ts";
import type { AnalyzeParams } from "../protocol/analysisContract.ts";
import type { AdapterReport } from "../protocol/reportContract.ts";
import type {
  InspectorContract,
  InspectorHostContract,
  InspectorState,
} from "../protocol/webviewContract.ts";
import type { Session } from "../session.ts";
import { hostState } from "../state.ts";
import { wake } from "../wake.ts";
import { OpenPanels } from "./openPanels.ts";
import { analysisCache, savePageFile } from "./pageFiles.ts";
import { runCommand } from "./runCommand.ts";
import { panelTransport, showPage } from "./webviewHtml.ts";

const viewType = "graft.inspector";
/** Which adapters are open, by the title of their tab. */
const titlesKey = "graft.inspectors";

/** The inspector: one panel per adapter, alive as long as its tab. */
export class InspectorPanels implements vscode.Disposable {
  private readonly open = new OpenPanels();
  private readonly subscriptions: vscode.Disposable;

  constructor(
    private readonly extension: vscode.ExtensionContext,
    private readonly session: Session,
    private readonly engine: Pick<EngineProcess, "request">,
  ) {
    this.subscriptions = vscode.Disposable.from(
      this.open,
      session.onDidChange(() => this.open.refresh()),
      vscode.window.registerWebviewPanelSerializer(viewType, {
        deserializeWebviewPanel: (panel, state) => this.restore(panel, state),
      }),
    );
  }

  show(adapterPath: string): void {
    if (this.open.reveal(adapterPath)) return;
    const title = path.basename(adapterPath);
    const column = vscode.ViewColumn.Active;
    this.attach(vscode.window.createWebviewPanel(viewType, title, column), adapterPath);
  }

  /** Closes the page of an adapter that is no more. */
  close(adapterPath: string): void {
    this.open.close(adapterPath);
  }

  dispose(): void {
    this.subscriptions.dispose();
  }

  private async restore(panel: vscode.WebviewPanel, state: unknown): Promise<void> {
    // A page that never showed a report has saved nothing; its title still tells which it was.
    const saved = (state as { path?: unknown } | undefined)?.path;
    const adapterPath = typeof saved === "string" ? saved : this.titles()[panel.title];
    if (adapterPath === undefined) return panel.dispose();
    this.attach(panel, adapterPath);
    await wake(this.session).catch(() => undefined);
  }

  private attach(panel: vscode.WebviewPanel, adapterPath: string): void {
    const { extensionUri } = this.extension;
    const inspection = new Inspection(adapterPath, {
      session: this.session,
      engine: this.engine,
      cache: analysisCache(this.extension),
      setTitle: (name) => (panel.title = name),
    });
    const page = new Connection<InspectorHostContract, InspectorContract>(
      panelTransport(panel),
      inspection.handlers,
    );
    inspection.onState = (state) => void page.request("update", state).catch(() => undefined);
    showPage(panel, extensionUri, "inspector");
    this.open.put(adapterPath, panel, () => inspection.refresh());
    this.rememberTitles();
    panel.onDidDispose(() => {
      this.open.forget(panel);
      this.rememberTitles();
    });
  }

  private titles(): Record<string, string> {
    return this.extension.workspaceState.get(titlesKey, {});
  }

  private rememberTitles(): void {
    void this.extension.workspaceState.update(titlesKey, Object.fromEntries(this.open.titles));
  }
}

/** What one inspector page shows, and what its buttons do. */
class Inspection {
  onState: (state: InspectorState) => void = () => undefined;
  private report: AdapterReport | null = null;
  private problem: string | null = null;
  private reportedFor: string | undefined;
  private ready = false;

  readonly handlers: Handlers<InspectorHostContract> = {
    ready: async () => {
      this.ready = true;
      await this.read();
      return this.state();
    },
    activate: () => runCommand("graft.activateAdapter", this.adapterPath),
    deactivate: () => runCommand("graft.deactivateAdapter", this.adapterPath),
    tryInPlayground: () => runCommand("graft.openPlayground", this.adapterPath),
    compareAdapters: () => runCommand("graft.compareAdapters", this.adapterPath),
    merge: () => runCommand("graft.mergeIntoBase", this.adapterPath),
    openRawConfig: () => runCommand("graft.openAdapterConfig", this.adapterPath),
    loadItsBase: () => runCommand("graft.loadItsBase", this.adapterPath),
    analyze: async (_, { signal, emit }) => {
      const options = { signal, onEvent: emit };
      const analysis = await this.parts.engine.request("analyzeAdapter", this.params(), options);
      // The explorer sorts by it.
      const { norm } = analysis.totals;
      if (norm !== null)
        this.parts.session.noteEffect(this.adapterPath, { kind: "norm", value: norm });
      return analysis;
    },
    measureModule: async ({ module }, { signal, emit }) => {
      const params = { ...this.params(), only: [module], thorough: true };
      const options = { signal, onEvent: emit };
      const { modules } = await this.parts.engine.request("analyzeAdapter", params, options);
      return modules[0] ?? null;
    },
    findIntruders: (_, { signal, emit }) =>
      this.parts.engine.request("findIntruders", this.params(), { signal, onEvent: emit }),
    resize: ({ rank }) =>
      runCommand("graft.convertAdapter", {
        adapterPath: this.adapterPath,
        to: { kind: "resize", size: { kind: "rank", rank } },
      }),
    reduceIntruders: () =>
      runCommand("graft.convertAdapter", {
        adapterPath: this.adapterPath,
        to: { kind: "reduceIntruders" },
      }),
    openTensors: ({ file }) =>
      // The page names one of the adapter's own files, never a way out of its folder.
      runCommand("vscode.open", vscode.Uri.file(path.join(this.adapterPath, path.basename(file)))),
    saveFile: (file) => savePageFile(file),
  };

  constructor(
    private readonly adapterPath: string,
    private readonly parts: {
      session: Session;
      engine: Pick<EngineProcess, "request">;
      cache: string;
      setTitle: (name: string) => void;
    },
  ) {}

  /** A loaded base that it fits is what it is measured by; else the one that its config leads to. */
  private params(): AnalyzeParams {
    const { base } = this.parts.session.state;
    const fits = this.report?.fit?.fits === true;
    const own = { path: this.adapterPath, cache: this.parts.cache };
    return base && fits ? { ...own, base: base.path } : own;
  }

  /** Sends the state after any change; reads the adapter again when what it is measured by changed. */
  async refresh(): Promise<void> {
    if (!this.ready) return;
    if (this.reportedFor !== this.measure()) await this.read();
    this.onState(this.state());
  }

  private state(): InspectorState {
    return {
      name: path.basename(this.adapterPath),
      report: this.report,
      problem: this.problem,
      host: hostState(this.parts.session.state),
    };
  }

  /** The loaded base and the adapter's last change decide what a report says. */
  private measure(): string {
    const { base, adapters } = this.parts.session.state;
    const modified = adapters.find((a) => a.path === this.adapterPath)?.modified;
    return `${base?.path ?? ""} ${modified ?? ""}`;
  }

  private async read(): Promise<void> {
    this.reportedFor = this.measure();
    try {
      this.report = await this.parts.session.inspect(this.adapterPath);
      this.problem = null;
      this.parts.setTitle(this.report.summary.name);
    } catch (thrown) {
      this.report = null;
      const { message } = failureOf(thrown);
      // The page is the folder's own.
      this.problem = message.replaceAll(this.adapterPath + path.sep, "");
    }
  }
}
