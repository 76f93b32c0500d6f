import * as vscode from "vscode";
import { Connection, type Handlers } from "../protocol/connection.ts";
import type { PlaygroundContract, PlaygroundHostContract } from "../protocol/webviewContract.ts";
import type { Session } from "../session.ts";
import { hostState } from "../state.ts";
import { wake } from "../wake.ts";
import { pageRoots, panelTransport, webviewHtml } from "./webviewHtml.ts";

const viewType = "graft.playground";

type Focus = PlaygroundContract["focusPrompt"]["params"];
type Page = Connection<PlaygroundHostContract, PlaygroundContract>;

/** The playground: one panel in a window. */
export class PlaygroundPanel implements vscode.Disposable {
  private panel: vscode.WebviewPanel | undefined;
  private page: Page | undefined;
  private ready = false;
  /** What to do once a page that is being opened says that it is there. */
  private wanted: Focus | undefined;
  private readonly subscriptions: vscode.Disposable;

  constructor(
    private readonly extension: vscode.ExtensionContext,
    private readonly session: Session,
  ) {
    this.subscriptions = vscode.Disposable.from(
      session.onDidChange(() => this.update()),
      vscode.window.registerWebviewPanelSerializer(viewType, {
        deserializeWebviewPanel: async (panel) => {
          this.attach(panel);
          await wake(session).catch(() => undefined);
        },
      }),
    );
  }

  show(focus: Focus): void {
    this.wanted = focus;
    if (this.panel) this.panel.reveal();
    else {
      const title = vscode.l10n.t("Graft Playground");
      const column = vscode.ViewColumn.Active;
      // A transcript and an answer in the making are worth their memory while the tab is hidden.
      const options = { retainContextWhenHidden: true };
      this.attach(vscode.window.createWebviewPanel(viewType, title, column, options));
    }
    if (this.ready) this.focus();
  }

  dispose(): void {
    this.subscriptions.dispose();
    this.panel?.dispose();
  }

  private attach(panel: vscode.WebviewPanel): void {
    const { extensionUri } = this.extension;
    this.panel = panel;
    this.ready = false;
    this.page = new Connection(panelTransport(panel), this.handlers());
    panel.webview.options = { enableScripts: true, localResourceRoots: pageRoots(extensionUri) };
    panel.webview.html = webviewHtml(panel.webview, extensionUri, "playground");
    panel.onDidDispose(() => {
      if (this.panel !== panel) return;
      this.panel = undefined;
      this.page = undefined;
      this.ready = false;
    });
  }

  private handlers(): Handlers<PlaygroundHostContract> {
    return {
      ready: () => {
        this.ready = true;
        setTimeout(() => this.focus());
        return hostState(this.session.state);
      },
      generate: ({ messages, adapters, sampling }, { emit, signal }) => {
        const prompt = { kind: "chat" as const, messages };
        return this.session.generate({ prompt, adapters, sampling }, { signal, onEvent: emit });
      },
      loadBase: () => run("graft.loadBaseModel"),
      loadAdapter: () => run("graft.loadAdapter"),
      copy: async ({ text }) => {
        await vscode.env.clipboard.writeText(text);
        return null;
      },
    };
  }

  private update(): void {
    if (!this.ready) return;
    void this.page?.request("update", hostState(this.session.state)).catch(() => undefined);
  }

  private focus(): void {
    const wanted = this.wanted ?? { text: null, adapter: null };
    this.wanted = undefined;
    void this.page?.request("focusPrompt", wanted).catch(() => undefined);
  }
}

async function run(command: string): Promise<null> {
  await vscode.commands.executeCommand(command);
  return null;
}
