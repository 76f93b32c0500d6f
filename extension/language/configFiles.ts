import * as vscode from "vscode";
import type { Graft } from "../context.ts";
import { failureOf } from "../failure.ts";
import type { ConfigFacts } from "../protocol/configContract.ts";
import { type ConfigDocument, readDocument } from "./adapterConfig/document.ts";
import type { Problem } from "./adapterConfig/problem.ts";

/** What is known of an open file, of one version of its text. */
export interface CheckedConfig {
  readonly version: number;
  readonly document: ConfigDocument;
  /** null while the engine has not answered, or cannot. */
  readonly facts: ConfigFacts | null;
  problems: readonly Problem[];
}

/** A base is asked for soon after the last key. */
const pause = 300;

export const configSelector: vscode.DocumentSelector = {
  pattern: "**/adapter_config.json",
  scheme: "file",
};

function isConfig(document: vscode.TextDocument): boolean {
  return vscode.languages.match(configSelector, document) > 0;
}

/**
 * The adapter_config.json files that are open: each is checked as it stands in the editor, a moment
 * after it changes, and again when the base or the weights beside it do.
 */
export class ConfigFiles {
  private readonly checked = new Map<string, CheckedConfig>();
  private readonly timers = new Map<string, NodeJS.Timeout>();
  private readonly running = new Map<string, AbortController>();
  private readonly listeners: vscode.Disposable[];

  /** @param found is told of every new check, and of a file that was closed by `undefined` */
  constructor(
    private readonly graft: Graft,
    private readonly found: (uri: vscode.Uri, config: CheckedConfig | undefined) => void,
  ) {
    const { session } = graft;
    let known = [session.state.base?.path, session.state.adapters];
    this.listeners = [
      vscode.workspace.onDidOpenTextDocument((document) => this.soon(document, 0)),
      vscode.workspace.onDidChangeTextDocument((event) => this.soon(event.document, pause)),
      vscode.workspace.onDidCloseTextDocument((document) => this.forget(document)),
      session.onDidChange(({ base, adapters }) => {
        const now = [base?.path, adapters];
        if (now.every((each, i) => each === known[i])) return;
        known = now;
        this.again();
      }),
    ];
  }

  /** Checks every file that is open, once more. */
  again(): void {
    for (const document of vscode.workspace.textDocuments) this.soon(document, pause);
  }

  /** The last check, of this version or of one shortly before it. */
  last(document: vscode.TextDocument): CheckedConfig | undefined {
    return this.checked.get(document.uri.toString());
  }

  /** The check of what stands in the editor now; undefined when it cannot be read, or is not wanted any more. */
  async current(document: vscode.TextDocument): Promise<CheckedConfig | undefined> {
    const last = this.last(document);
    if (last?.version === document.version && last.facts) return last;
    return this.check(document);
  }

  dispose(): void {
    for (const timer of this.timers.values()) clearTimeout(timer);
    for (const running of this.running.values()) running.abort();
    vscode.Disposable.from(...this.listeners).dispose();
  }

  private soon(document: vscode.TextDocument, after: number): void {
    if (!isConfig(document)) return;
    const key = document.uri.toString();
    clearTimeout(this.timers.get(key));
    const check = (): void => void this.check(document);
    this.timers.set(key, setTimeout(check, after));
  }

  private forget(document: vscode.TextDocument): void {
    const key = document.uri.toString();
    clearTimeout(this.timers.get(key));
    this.running.get(key)?.abort();
    if (this.checked.delete(key)) this.found(document.uri, undefined);
  }

  private check(document: vscode.TextDocument): Promise<CheckedConfig | undefined> {
    const key = document.uri.toString();
    this.running.get(key)?.abort();
    const controller = new AbortController();
    this.running.set(key, controller);
    return this.ask(document, controller.signal);
  }

  private async ask(
    document: vscode.TextDocument,
    signal: AbortSignal,
  ): Promise<CheckedConfig | undefined> {
    const { version } = document;
    const read = readDocument(document.getText());
    if (document.isClosed) return undefined;
    // While something is being written, what was said before stays.
    if (!read?.isWhole)
      return read
        ? { version, document: read, facts: this.last(document)?.facts ?? null, problems: [] }
        : undefined;
    const facts = await this.facts(document, signal);
    if (signal.aborted || document.isClosed) return undefined;
    const checked: CheckedConfig = { version, document: read, facts, problems: [] };
    this.checked.set(document.uri.toString(), checked);
    this.found(document.uri, checked);
    return checked;
  }

  private async facts(
    document: vscode.TextDocument,
    signal: AbortSignal,
  ): Promise<ConfigFacts | null> {
    const { engine, session, log } = this.graft;
    const path = document.uri.fsPath;
    const folder = vscode.Uri.joinPath(document.uri, "..").fsPath;
    const own = session.state.adapters.find((adapter) => adapter.path === folder)?.basePath;
    const standIn = own ?? session.state.base?.path;
    const params = { path, text: document.getText(), ...(standIn && { standIn }) };
    try {
      return await engine.request("describeConfig", params, { signal });
    } catch (thrown) {
      const { code, message } = failureOf(thrown);
      if (code !== "cancelled") log.warn(`${path}: ${message}`);
      return null;
    }
  }
}
