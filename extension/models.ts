import { fork } from "node:child_process";
import * as vscode from "vscode";
import { loadSettings, readingSettings } from "./config.ts";
import { quantizedFolder, samplePath } from "./context.ts";
import { discoveryRoots } from "./discovery.ts";
import type { KeptEffects } from "./effects.ts";
import { EngineProcess } from "./engineProcess.ts";
import { failureOf } from "./failure.ts";
import { type Memento, Session } from "./session.ts";

const mementoKey = "graft.loaded";
const basesKey = "graft.basesOfAdapters";
const effectsKey = "graft.effectsOfAdapters";

/** The engine process and the session over it, wired to this window. */
export function createModels(
  extension: vscode.ExtensionContext,
  log: vscode.LogOutputChannel,
): { engine: EngineProcess; session: Session } {
  const engine: EngineProcess = new EngineProcess({
    fork: () => forkEngine(extension),
    log,
    restore: (connection) => session.restoreAfterCrash(connection),
    onState: (state) => {
      session.engineChanged(state);
      if (state === "ready") tellReading();
    },
    onRestarted: (outcome) => sayRestarted(outcome, session.state.base !== null),
    onGaveUp: (reason) => sayGaveUp(reason),
  });
  const session: Session = new Session({
    engine,
    roots: () => discoveryRoots(samplePath(extension)),
    recall: () => extension.workspaceState.get<Memento>(mementoKey),
    remember: (memento) => void extension.workspaceState.update(mementoKey, memento),
    recallBases: () => extension.workspaceState.get<Record<string, string>>(basesKey),
    rememberBases: (bases) => void extension.workspaceState.update(basesKey, bases),
    recallEffects: () => extension.globalState.get<KeptEffects>(effectsKey),
    rememberEffects: (effects) => void extension.globalState.update(effectsKey, effects),
    warn: (text) => log.warn(text),
    loadDefaults: loadSettings,
    quantCache: () => quantizedFolder(extension),
  });
  const tellReading = (): void => {
    engine
      .request("setReading", readingSettings())
      .catch((thrown: unknown) => log.warn(failureOf(thrown).message));
  };
  extension.subscriptions.push(
    vscode.workspace.onDidChangeConfiguration((event) => {
      const isMeant = ["generation", "load.precision"].some((key) =>
        event.affectsConfiguration(`graft.${key}`),
      );
      // An engine that is not there yet is told as it starts.
      if (isMeant && session.state.engine === "ready") tellReading();
    }),
  );
  return { engine, session };
}

/** A process of the engine, which speaks over its channel. */
export function forkEngine(extension: vscode.ExtensionContext): ReturnType<typeof fork> {
  return fork(extension.asAbsolutePath("dist/engine.cjs"), [], {
    env: {
      ...process.env,
      ELECTRON_RUN_AS_NODE: "1",
      // The engine's messages are in the editor's language.
      GRAFT_L10N: vscode.l10n.uri?.fsPath ?? "",
    },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    // The extension host's own flags (an inspector port) are not the engine's.
    execArgv: [],
  });
}

function sayRestarted(
  { crash, problem }: { crash?: string; problem?: string },
  modelsAreBack: boolean,
): void {
  if (problem !== undefined) {
    const text = vscode.l10n.t(
      "The Graft engine was restarted, but what was loaded is not back: {0}",
      problem,
    );
    return offerLog(vscode.window.showErrorMessage, text);
  }
  if (crash === undefined) {
    vscode.window.setStatusBarMessage(vscode.l10n.t("Graft engine restarted"), 4000);
    return;
  }
  const text = modelsAreBack
    ? vscode.l10n.t("The Graft engine stopped ({0}). Restarted; base and adapters are back.", crash)
    : vscode.l10n.t("The Graft engine stopped ({0}) and was restarted.", crash);
  offerLog(vscode.window.showWarningMessage, text);
}

function sayGaveUp(reason: string): void {
  const text = vscode.l10n.t(
    "The Graft engine stopped ({0}) and is not restarted again by itself.",
    reason,
  );
  const restart = vscode.l10n.t("Restart Engine");
  offerLog(vscode.window.showErrorMessage, text, restart, "graft.restartEngine");
}

type Show = (text: string, ...items: string[]) => Thenable<string | undefined>;

function offerLog(show: Show, text: string, action?: string, command?: string): void {
  const log = vscode.l10n.t("Show Log");
  const actions = action === undefined ? [log] : [action, log];
  void show(text, ...actions).then((chosen) => {
    if (chosen === log) return vscode.commands.executeCommand("graft.showLog");
    if (chosen === action && command) return vscode.commands.executeCommand(command);
    return undefined;
  });
}
