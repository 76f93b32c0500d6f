import * as vscode from "vscode";
import type { Session } from "../session.ts";
import type { State } from "../state.ts";
import { formatCount, formatMethod, formatModel, formatWeight } from "./format.ts";

/** Base, active adapters and engine state at a glance; a click opens what makes sense now. */
export class StatusBar implements vscode.Disposable {
  private readonly item: vscode.StatusBarItem;
  private readonly subscription: { dispose(): void };

  constructor(session: Session) {
    this.item = vscode.window.createStatusBarItem("graft", vscode.StatusBarAlignment.Right, 90);
    this.item.name = "Graft";
    this.item.command = "graft.showMenu";
    this.subscription = session.onDidChange((state) => this.draw(state));
    this.draw(session.state);
    this.item.show();
  }

  dispose(): void {
    this.subscription.dispose();
    this.item.dispose();
  }

  private draw(state: State): void {
    const { text, words } = summary(state);
    const failed = state.engine === "failed";
    this.item.text = text;
    this.item.tooltip = tooltip(state, words);
    this.item.accessibilityInformation = { label: `Graft: ${words}` };
    this.item.backgroundColor = failed
      ? new vscode.ThemeColor("statusBarItem.errorBackground")
      : undefined;
  }
}

function summary(state: State): { text: string; words: string } {
  const model = state.base ? formatModel(state.base.name, state.active) : undefined;
  switch (state.engine) {
    case "starting":
      return { text: "$(loading~spin) Graft", words: vscode.l10n.t("engine is starting") };
    case "restarting": {
      const words = vscode.l10n.t("engine is restarting");
      return { text: `$(loading~spin) ${model ?? "Graft"}`, words };
    }
    case "failed": {
      const words = vscode.l10n.t("engine stopped");
      return { text: `$(error) Graft: ${words}`, words };
    }
    case "stopped":
    case "ready": {
      const words = model ?? vscode.l10n.t("no model loaded");
      return { text: `$(layers) ${model ?? "Graft"}`, words };
    }
    default:
      return state.engine satisfies never;
  }
}

function tooltip(state: State, words: string): vscode.MarkdownString {
  const text = new vscode.MarkdownString();
  text.appendMarkdown("**Graft** · ").appendText(words).appendMarkdown("\n\n");
  const { base } = state;
  if (!base) return text.appendText(vscode.l10n.t("Click to load a base model or an adapter."));
  text.appendText(`${base.name}: ${base.modelType}, `);
  text.appendText(`${formatCount(base.parameters)} parameters, ${base.dtype}, ${base.device}`);
  for (const adapter of state.loaded) {
    const active = state.active.find((a) => a.name === adapter.name);
    const share = active ? `active ${formatWeight(active.weight)}` : "loaded, not active";
    const bound = `${adapter.bound} of ${adapter.total} modules bound`;
    text.appendMarkdown("\n\n");
    text.appendText(`${adapter.name}: ${formatMethod(adapter)}, ${bound}, ${share}`);
  }
  return text;
}
