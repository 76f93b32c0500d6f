import * as vscode from "vscode";
import type { Graft } from "../context.ts";
import { type Failure, failureOf } from "../failure.ts";
import type { AdapterSummary } from "../protocol/engineContract.ts";
import { baseLabel } from "../state.ts";

export interface ErrorSubject {
  adapter?: AdapterSummary;
  /** Repeats a load that found no place for some modules, this time accepting it. */
  loadAnyway?: () => Promise<unknown>;
  /** Repeats a load after the adapter's own base has been loaded. */
  again?: () => Promise<unknown>;
}

interface Action extends vscode.MessageItem {
  run(): unknown;
}

/** The one place where an error becomes a message, with the actions that help. */
export async function presentError(
  graft: Graft,
  thrown: unknown,
  subject: ErrorSubject = {},
): Promise<void> {
  const failure = failureOf(thrown);
  if (failure.code === "cancelled") return;
  graft.log.error(`${failure.code}: ${failure.message}`, failure.details);
  if (failure.code === "internal" && thrown instanceof Error) graft.log.debug(thrown.stack ?? "");
  // The end of an engine has its own message, and one is enough; a later request is told again.
  if (failure.code === "engine-gone" && failure.details["refused"] !== true) return;
  const actions = actionsFor(graft, failure, subject);
  const show =
    failure.code === "partial-bind"
      ? vscode.window.showWarningMessage
      : vscode.window.showErrorMessage;
  const chosen = await show(textFor(graft, failure, subject), ...actions);
  await chosen?.run();
}

function textFor(
  graft: Graft,
  { code, message, details }: Failure,
  { adapter }: ErrorSubject,
): string {
  // Nobody has foreseen it, so its own words are of no help to those who did not write the code.
  if (code === "internal") {
    return vscode.l10n.t(
      "Graft failed in a way that it does not know: {0} Try again; the log says more, for a report.",
      /[.!?]$/.test(message) ? message : `${message}.`,
    );
  }
  if (!adapter) return message;
  if (code === "partial-bind") return message.replaceAll(adapter.path, adapter.name);
  // The folder is known from the name; what matters is the file and the numbers in it.
  const full = typeof details["why"] === "string" ? details["why"] : message;
  const reason = full.replaceAll(`${adapter.path}/`, "").replaceAll(`${adapter.path}\\`, "");
  if (code === "bad-file" && reason !== full) {
    return vscode.l10n.t("{0} cannot be loaded: {1}", adapter.name, reason);
  }
  if (code !== "misfit") return message;
  const { state } = graft.session;
  const base = state.base?.name ?? "";
  const text = vscode.l10n.t("{0} does not fit {1}: {2}", adapter.name, base, reason);
  if (adapter.baseName === null || details["saysBase"] === true) return text;
  return vscode.l10n.t("{0} It was trained on {1}.", text, baseLabel(state, adapter));
}

function actionsFor(graft: Graft, failure: Failure, subject: ErrorSubject): Action[] {
  const actions: Action[] = [];
  const { adapter, loadAnyway, again } = subject;
  if (failure.code === "partial-bind" && loadAnyway) {
    actions.push({ title: vscode.l10n.t("Load Anyway"), run: loadAnyway });
  }
  if (failure.code === "misfit" && adapter?.basePath) {
    if (adapter.basePath !== graft.session.state.base?.path) {
      actions.push({
        title: vscode.l10n.t("Load Its Base"),
        run: async () => {
          await vscode.commands.executeCommand("graft.loadBaseModel", adapter.basePath);
          if (graft.session.state.base?.path === adapter.basePath) await again?.();
        },
      });
    }
  }
  if (failure.code === "engine-gone") {
    actions.push(command(vscode.l10n.t("Restart Engine"), "graft.restartEngine"));
  }
  if (failure.code === "unauthorized" || failure.code === "gated") {
    const { url } = failure.details;
    if (typeof url === "string") {
      const run = (): unknown => vscode.env.openExternal(vscode.Uri.parse(url));
      actions.push({ title: vscode.l10n.t("Open on the Hub"), run });
    }
    actions.push(command(vscode.l10n.t("Sign In…"), "graft.signIn"));
  }
  if (adapter && adapter.peftType !== "") {
    const title = vscode.l10n.t("Show Details");
    actions.push(command(title, "graft.openInspector", adapter.path));
  }
  actions.push(command(vscode.l10n.t("Show Log"), "graft.showLog"));
  return actions;
}

function command(title: string, id: string, ...args: unknown[]): Action {
  return { title, run: () => vscode.commands.executeCommand(id, ...args) };
}
