import * as vscode from "vscode";
import { answeringBase, askColumns, type Models } from "../columns.ts";
import { History } from "../playground/history.ts";
import { markdownOf } from "../playground/markdown.ts";
import { Presets } from "../playground/presets.ts";
import { promptFileOf } from "../playground/promptFile.ts";
import { pythonOf } from "../playground/python.ts";
import {
  columnsRequest,
  engineAdapter,
  playgroundState,
  scriptOf,
} from "../playground/requests.ts";
import { typescriptOf } from "../playground/typescript.ts";
import { Connection, type Handlers } from "../protocol/connection.ts";
import type {
  ColumnAdapter,
  CopyFormat,
  PlaygroundContract,
  PlaygroundHostContract,
  PlaygroundState,
  SavedConversation,
} from "../protocol/playgroundContract.ts";
import { wake } from "../wake.ts";
import { runCommand } from "./runCommand.ts";
import { panelTransport, showPage } from "./webviewHtml.ts";

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
  private readonly presets: Presets;
  private readonly history: History;
  private readonly subscriptions: vscode.Disposable;

  constructor(
    private readonly extension: vscode.ExtensionContext,
    private readonly models: Models,
  ) {
    const { globalState, globalStorageUri } = extension;
    this.presets = new Presets(globalState);
    this.history = new History(vscode.Uri.joinPath(globalStorageUri, "conversations").fsPath);
    this.subscriptions = vscode.Disposable.from(
      models.session.onDidChange(() => this.update()),
      vscode.window.registerWebviewPanelSerializer(viewType, {
        deserializeWebviewPanel: async (panel) => {
          this.attach(panel);
          await wake(models.session).catch(() => undefined);
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
    showPage(panel, extensionUri, "playground");
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
        return this.state();
      },
      ...this.answers(),
      ...this.shelves(),
      loadBase: () => runCommand("graft.loadBaseModel"),
      loadAdapter: ({ path }) => this.loadAdapter(path),
      copy: async ({ text }) => {
        await vscode.env.clipboard.writeText(text);
        return null;
      },
      copyAs: async ({ format, conversation, column }) => {
        await this.copyAs(format, conversation, column);
        return null;
      },
    };
  }

  private answers(): Pick<
    Handlers<PlaygroundHostContract>,
    "generate" | "setWeights" | "renderPrompt"
  > {
    const { models } = this;
    return {
      generate: (params, { emit, signal }) =>
        askColumns(models, columnsRequest(params), { signal, onEvent: emit }),
      setWeights: async ({ run: id, column, adapters }) => {
        const params = { run: id, column, adapters: adapters.map(engineAdapter) };
        await models.engine.request("setColumnAdapters", params);
        return null;
      },
      renderPrompt: ({ messages, adapters }) => {
        const { path: base } = answeringBase(models.session);
        const prompt = { kind: "chat" as const, messages, orText: true };
        const given = adapters.map(engineAdapter);
        return models.engine.request("renderPrompt", { base, prompt, adapters: given });
      },
    };
  }

  private shelves(): Pick<
    Handlers<PlaygroundHostContract>,
    | "savePreset"
    | "deletePreset"
    | "keepConversation"
    | "listConversations"
    | "openConversation"
    | "deleteConversation"
    | "clearConversations"
  > {
    const told = <T>(presets: T): T => {
      this.update();
      return presets;
    };
    return {
      savePreset: (preset) => this.presets.save(preset).then(told),
      deletePreset: ({ name }) => this.presets.delete(name).then(told),
      keepConversation: async (conversation) => {
        await this.history.keep(conversation);
        return null;
      },
      listConversations: ({ search }) => this.history.list(search),
      openConversation: ({ id }) => this.history.open(id),
      deleteConversation: async ({ id }) => {
        await this.history.delete(id);
        return null;
      },
      clearConversations: async () => ({ deleted: await this.history.clear() }),
    };
  }

  /** Loads an adapter as the command does; the one that was asked for, or that came of it. */
  private async loadAdapter(path: string | null): Promise<ColumnAdapter | null> {
    const { session } = this.models;
    const before = new Set(session.state.loaded.map((each) => each.path));
    await vscode.commands.executeCommand("graft.loadAdapter", path ?? undefined);
    const { loaded } = session.state;
    const own = loaded.find((each) => each.path === path || !before.has(each.path));
    return own ? { name: own.name, weight: 1, path: own.path } : null;
  }

  private async copyAs(
    format: CopyFormat,
    conversation: SavedConversation,
    column: string,
  ): Promise<void> {
    const { state } = this.models.session;
    const content = contentOf(format, { state, conversation, column });
    if (format !== "promptDocument") return vscode.env.clipboard.writeText(content);
    const document = await vscode.workspace.openTextDocument({ language: "yaml", content });
    await vscode.window.showTextDocument(document, { viewColumn: vscode.ViewColumn.Beside });
  }

  private state(): PlaygroundState {
    return playgroundState(this.models.session.state, this.presets.list());
  }

  private update(): void {
    if (!this.ready) return;
    void this.page?.request("update", this.state()).catch(() => undefined);
  }

  private focus(): void {
    const wanted = this.wanted ?? { text: null, adapter: null };
    this.wanted = undefined;
    void this.page?.request("focusPrompt", wanted).catch(() => undefined);
  }
}

function contentOf(
  format: CopyFormat,
  at: {
    state: Models["session"]["state"];
    conversation: SavedConversation;
    column: string;
  },
): string {
  const { state, conversation, column } = at;
  if (format === "markdown") return markdownOf(conversation, state.base?.name ?? "");
  const script = scriptOf(state, conversation, column);
  switch (format) {
    case "python":
      return pythonOf(script);
    case "typescript":
      return typescriptOf(script);
    case "promptFile":
    case "promptDocument":
      return promptFileOf(script);
    default:
      return format satisfies never;
  }
}
