import * as path from "node:path";
import * as vscode from "vscode";
import type { EngineProcess } from "../engineProcess.ts";
import { failureOf } from "../failure.ts";
import { Connection, type Handlers } from "../protocol/connection.ts";
import type {
  CompareContract,
  CompareHostContract,
  CompareSide,
  CompareState,
} from "../protocol/picturesContract.ts";
import type { Session } from "../session.ts";
import { hostState } from "../state.ts";
import { wake } from "../wake.ts";
import { OpenPanels } from "./openPanels.ts";
import { analysisCache, savePageFile } from "./pageFiles.ts";
import { runCommand } from "./runCommand.ts";
import { panelTransport, showPage } from "./webviewHtml.ts";

const viewType = "graft.compare";

export type Pair = readonly [string, string];

/** The page that holds two adapters side by side: one panel a pair, alive as long as its tab. */
export class ComparePanels implements vscode.Disposable {
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

  show(pair: Pair): void {
    if (this.open.reveal(pair.join("\n"))) return;
    const column = vscode.ViewColumn.Active;
    this.attach(vscode.window.createWebviewPanel(viewType, titleOf(pair), column), pair);
  }

  dispose(): void {
    this.subscriptions.dispose();
  }

  private async restore(panel: vscode.WebviewPanel, state: unknown): Promise<void> {
    const { pair } = (state ?? {}) as { pair?: unknown };
    const [a, b] = Array.isArray(pair) ? (pair as unknown[]) : [];
    if (typeof a !== "string" || typeof b !== "string") return panel.dispose();
    this.attach(panel, [a, b]);
    await wake(this.session).catch(() => undefined);
  }

  private attach(panel: vscode.WebviewPanel, first: Pair): void {
    const { extensionUri } = this.extension;
    const setPair = (pair: Pair): void => {
      panel.title = titleOf(pair);
      this.open.put(pair.join("\n"), panel, () => comparison.refresh());
    };
    const comparison = new Comparison(first, {
      session: this.session,
      engine: this.engine,
      cache: analysisCache(this.extension),
      setPair,
    });
    const page = new Connection<CompareHostContract, CompareContract>(
      panelTransport(panel),
      comparison.handlers,
    );
    comparison.onState = (state) => void page.request("update", state).catch(() => undefined);
    showPage(panel, extensionUri, "compare");
    setPair(first);
    panel.onDidDispose(() => this.open.forget(panel));
  }
}

/** What one page shows, and what its buttons do. */
class Comparison {
  onState: (state: CompareState) => void = () => undefined;
  private ready = false;
  private readFor = "";
  private sides: [CompareSide, CompareSide];

  readonly handlers: Handlers<CompareHostContract> = {
    ready: async () => {
      this.ready = true;
      await this.read();
      return this.state();
    },
    compare: (_, { signal, emit }) => {
      const [a, b] = this.pair;
      const params = { a, b, ...this.base(), cache: this.parts.cache };
      return this.parts.engine.request("compareAdapters", params, { signal, onEvent: emit });
    },
    saveFile: (file) => savePageFile(file),
    inspect: ({ path: own }) => runCommand("graft.openInspector", own),
    choose: async ({ side }) => {
      const chosen = await vscode.commands.executeCommand<string | undefined>(
        "graft.compareAdapters",
        { chooseFor: this.pair[side === 0 ? 1 : 0] },
      );
      if (chosen === undefined) return null;
      await this.change(side === 0 ? [chosen, this.pair[1]] : [this.pair[0], chosen]);
      return null;
    },
    swap: async () => {
      await this.change([this.pair[1], this.pair[0]]);
      return null;
    },
    mix: () => runCommand("graft.mixAdapters", this.pair[0], [...this.pair]),
    combine: () => runCommand("graft.combineAdapters", this.pair[0], [...this.pair]),
  };

  constructor(
    private pair: Pair,
    private readonly parts: {
      session: Session;
      engine: Pick<EngineProcess, "request">;
      cache: string;
      setPair: (pair: Pair) => void;
    },
  ) {
    this.sides = [unread(pair[0]), unread(pair[1])];
  }

  async refresh(): Promise<void> {
    if (!this.ready) return;
    if (this.readFor !== this.measure()) await this.read();
    this.onState(this.state());
  }

  private async change(pair: Pair): Promise<void> {
    this.pair = pair;
    this.parts.setPair(pair);
    await this.read();
    this.onState(this.state());
  }

  private state(): CompareState {
    return { sides: this.sides, host: hostState(this.parts.session.state) };
  }

  /** A loaded base that both fit is what they are measured by; else where their configs lead. */
  private base(): { base?: string } {
    const { base } = this.parts.session.state;
    const fit = this.sides.every(({ report }) => report?.fit?.fits === true);
    return base && fit ? { base: base.path } : {};
  }

  private measure(): string {
    const { base, adapters } = this.parts.session.state;
    const changed = this.pair.map((own) => adapters.find((a) => a.path === own)?.modified ?? "");
    return [base?.path ?? "", ...this.pair, ...changed].join(" ");
  }

  private async read(): Promise<void> {
    this.readFor = this.measure();
    const side = async (own: string): Promise<CompareSide> => {
      try {
        const report = await this.parts.session.inspect(own);
        return { path: own, name: report.summary.name, report, problem: null };
      } catch (thrown) {
        return { ...unread(own), problem: failureOf(thrown).message };
      }
    };
    const [a, b] = this.pair;
    this.sides = await Promise.all([side(a), side(b)]);
  }
}

function unread(own: string): CompareSide {
  return { path: own, name: path.basename(own), report: null, problem: null };
}

function titleOf([a, b]: Pair): string {
  return vscode.l10n.t("{0} ⇄ {1}", path.basename(a), path.basename(b));
}
