import * as vscode from "vscode";
import { failureOf } from "../failure.ts";
import { Connection, type Handlers } from "../protocol/connection.ts";
import type {
  StatusContract,
  StatusHostContract,
  StatusState,
} from "../protocol/webviewContract.ts";
import type { Session } from "../session.ts";
import { hostState } from "../state.ts";
import { wake } from "../wake.ts";
import { runCommand } from "./runCommand.ts";
import { panelTransport, showPage } from "./webviewHtml.ts";

const viewType = "graft.status";

/** All loaded adapters side by side: one panel in a window, kept up to date. */
export class StatusPanel implements vscode.Disposable {
  private panel: vscode.WebviewPanel | undefined;
  private readonly subscriptions: vscode.Disposable;
  private onChange: () => void = () => undefined;

  constructor(
    private readonly extension: vscode.ExtensionContext,
    private readonly session: Session,
  ) {
    this.subscriptions = vscode.Disposable.from(
      session.onDidChange(() => this.onChange()),
      vscode.window.registerWebviewPanelSerializer(viewType, {
        deserializeWebviewPanel: async (panel) => {
          this.attach(panel);
          await wake(session).catch(() => undefined);
        },
      }),
    );
  }

  show(): void {
    if (this.panel) return this.panel.reveal();
    const title = vscode.l10n.t("Adapter Status");
    const column = vscode.ViewColumn.Active;
    this.attach(vscode.window.createWebviewPanel(viewType, title, column));
  }

  dispose(): void {
    this.subscriptions.dispose();
    this.panel?.dispose();
  }

  private attach(panel: vscode.WebviewPanel): void {
    const { extensionUri } = this.extension;
    this.panel = panel;
    let isReady = false;
    const handlers: Handlers<StatusHostContract> = {
      ready: () => {
        isReady = true;
        return this.read();
      },
      openInspector: ({ path }) => runCommand("graft.openInspector", path),
      loadAdapter: () => runCommand("graft.loadAdapter"),
    };
    const page = new Connection<StatusHostContract, StatusContract>(
      panelTransport(panel),
      handlers,
    );
    this.onChange = () => {
      // A hidden page is not there; it asks again when it is shown.
      if (!isReady || !panel.visible) return;
      void this.read()
        .then((state) => page.request("update", state))
        .catch(() => undefined);
    };
    showPage(panel, extensionUri, "status");
    panel.onDidDispose(() => {
      if (this.panel !== panel) return;
      this.panel = undefined;
      this.onChange = () => undefined;
    });
  }

  private async read(): Promise<StatusState> {
    const { state } = this.session;
    const known = { host: hostState(state), adapters: [...state.loaded] };
    if (!state.base) return { ...known, status: null, problem: null };
    try {
      return { ...known, status: await this.session.modelStatus(), problem: null };
    } catch (thrown) {
      return { ...known, status: null, problem: failureOf(thrown).message };
    }
  }
}
