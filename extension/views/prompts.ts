import * as vscode from "vscode";
import type { Graft } from "../context.ts";
import { presentError } from "./errors.ts";
import type { PromptHost } from "./promptHost.ts";

export const promptFiles = "**/*.prompt.{yml,yaml}";

/** Not what source control shows of a file's past. */
const selector: vscode.DocumentSelector = { scheme: "file", pattern: promptFiles };

/**
 * Prompt files in the editor and in the Testing view. This part is small and there from the start;
 * what reads and runs files is loaded when one is met.
 */
export class Prompts implements vscode.Disposable {
  readonly controller = vscode.tests.createTestController("graft.prompts", "Graft");
  private readonly lensesChanged = new vscode.EventEmitter<void>();
  private readonly subscriptions: vscode.Disposable[] = [this.controller, this.lensesChanged];
  private loading: Promise<PromptHost> | undefined;
  private graft: Graft | undefined;
  private refreshing: NodeJS.Timeout[] = [];

  start(graft: Graft): void {
    this.graft = graft;
    this.controller.resolveHandler = async (item) => (await this.host()).tests.resolve(item);
    this.controller.refreshHandler = async () => (await this.host()).tests.discover();
    this.controller.createRunProfile(
      vscode.l10n.t("Run"),
      vscode.TestRunProfileKind.Run,
      async (request, token) => (await this.host()).tests.run(request, token),
      true,
      undefined,
      true,
    );
    this.register();
    // What is open when the window opens has no event of its own.
    for (const document of vscode.workspace.textDocuments) this.met(document);
  }

  host(): Promise<PromptHost> {
    return (this.loading ??= this.load());
  }

  /** Lenses say what is active and how the last run went. */
  refreshLenses(): void {
    // Loading tells many changes at once. An editor that loses the focus, as to a report that opens
    // beside it, forgets that it was going to ask: it is told again.
    this.refreshing.forEach(clearTimeout);
    this.refreshing = [250, 2000].map((ms) => setTimeout(() => this.lensesChanged.fire(), ms));
  }

  dispose(): void {
    this.refreshing.forEach(clearTimeout);
    vscode.Disposable.from(...this.subscriptions).dispose();
  }

  private async load(): Promise<PromptHost> {
    if (!this.graft) throw new Error("Prompts were not started.");
    const { PromptHost: Host } = await import("./promptHost.ts");
    const host = new Host(this.graft, this);
    this.subscriptions.push(host);
    return host;
  }

  private register(): void {
    const { languages, workspace } = vscode;
    this.subscriptions.push(
      languages.registerCodeLensProvider(selector, {
        onDidChangeCodeLenses: this.lensesChanged.event,
        provideCodeLenses: async (document) => (await this.host()).lenses(document),
      }),
      languages.registerCompletionItemProvider(
        selector,
        {
          provideCompletionItems: async (document, position) =>
            (await this.host()).language.complete(document, position),
        },
        ...[" ", ":", "-", "{"],
      ),
      languages.registerHoverProvider(selector, {
        provideHover: async (document, position) =>
          (await this.host()).language.hover(document, position),
      }),
      workspace.onDidOpenTextDocument((document) => this.met(document)),
      workspace.onDidChangeTextDocument(({ document }) => this.met(document)),
      workspace.onDidCloseTextDocument((document) => {
        if (this.loading && isPrompt(document)) void this.host().then((h) => h.closed(document));
      }),
    );
  }

  private met(document: vscode.TextDocument): void {
    if (!isPrompt(document)) return;
    void this.host()
      .then((host) => host.met(document))
      .catch((thrown: unknown) => this.graft && presentError(this.graft, thrown));
  }
}

function isPrompt(document: vscode.TextDocument): boolean {
  return vscode.languages.match(selector, document) > 0;
}
