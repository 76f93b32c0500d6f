import type * as vscode from "vscode";
import { commands } from "vscode";
import type { Session } from "../session.ts";
import type { State } from "../state.ts";

/** Mirrors the state into the keys that `when` clauses in package.json read. */
export function mirrorContextKeys(session: Session): vscode.Disposable {
  const sent = new Map<string, unknown>();
  const mirror = (state: State): void => {
    for (const [key, value] of Object.entries(keysOf(state))) {
      if (sent.get(key) === value) continue;
      sent.set(key, value);
      void commands.executeCommand("setContext", key, value);
    }
  };
  mirror(session.state);
  return session.onDidChange(mirror);
}

function keysOf(state: State): Record<string, unknown> {
  const { discovery } = state;
  return {
    "graft.engine": state.engine,
    "graft.baseLoaded": state.base !== null,
    "graft.adapterLoaded": state.loaded.length > 0,
    "graft.adapterWithTasks": state.loaded.some(({ tasks }) => tasks !== null),
    "graft.adapterActive": state.active.length > 0,
    "graft.discovery": typeof discovery === "string" ? discovery : "failed",
  };
}
