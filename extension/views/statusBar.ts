import * as vscode from "vscode";
import type { Session } from "../session.ts";
import type { State } from "../state.ts";
import { formatModel } from "./format.ts";
import { statusTooltip, tooltipCommands } from "./statusTooltip.ts";

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
  // The bar cuts long texts off in silence; the tooltip has the whole names.
  const short = state.base
    ? formatModel(
        shorten(state.base.name),
        state.active.map((each) => ({ ...each, name: shorten(each.name) })),
      )
    : "Graft";
  switch (state.engine) {
    case "starting":
      return { text: "$(loading~spin) Graft", words: vscode.l10n.t("engine is starting") };
    case "restarting": {
      const words = vscode.l10n.t("engine is restarting");
      return { text: `$(loading~spin) ${short}`, words };
    }
    case "failed": {
      const words = vscode.l10n.t("engine stopped");
      return { text: `$(error) Graft: ${words}`, words };
    }
    case "stopped":
    case "ready": {
      const words = model ?? vscode.l10n.t("no model loaded");
      return { text: `$(layers) ${short}`, words };
    }
    default:
      return state.engine satisfies never;
  }
}

/** "a-very-long-n…int-12000": ends tell names of one run apart. */
function shorten(name: string): string {
  return name.length <= 32 ? name : `${name.slice(0, 18)}…${name.slice(-12)}`;
}

function tooltip(state: State, words: string): vscode.MarkdownString {
  const text = new vscode.MarkdownString(statusTooltip(state, words), true);
  text.isTrusted = { enabledCommands: tooltipCommands };
  return text;
}
