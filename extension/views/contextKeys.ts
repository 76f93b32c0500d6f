import type * as vscode from "vscode";
import { commands, Disposable, workspace } from "vscode";
import { realOf } from "../knownAdapter.ts";
import type { Layout } from "../layout.ts";
import type { Session } from "../session.ts";
import type { State } from "../state.ts";

/** Mirrors the state into the keys that `when` clauses in package.json read. */
export function mirrorContextKeys(session: Session, layout: Layout): vscode.Disposable {
  const sent = new Map<string, unknown>();
  let listed: State["adapters"] | undefined;
  const mirror = (): void => {
    if (session.state.adapters !== listed) {
      listed = session.state.adapters;
      void commands.executeCommand("setContext", "graft.adapterFolders", foldersOf(listed));
    }
    const { filter, grouping, order } = layout.current;
    const keys = {
      ...keysOf(session.state),
      "graft.adaptersFiltered": filter !== "",
      "graft.adapterGrouping": grouping,
      "graft.adapterOrder": order,
    };
    for (const [key, value] of Object.entries(keys)) {
      if (sent.get(key) === value) continue;
      sent.set(key, value);
      void commands.executeCommand("setContext", key, value);
    }
  };
  mirror();
  return Disposable.from(session.onDidChange(mirror), layout.onDidChange(mirror));
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

/** Folders as VS Code's own explorer names them, for menus there: `resourcePath in graft.adapterFolders`. */
function foldersOf(adapters: State["adapters"]): string[] {
  const real = adapters.map(({ path }) => path);
  const links = (workspace.workspaceFolders ?? []).flatMap(({ uri }) => {
    const target = realOf(uri.fsPath);
    if (target === uri.fsPath) return [];
    return real
      .filter((path) => path.startsWith(target))
      .map((path) => uri.fsPath + path.slice(target.length));
  });
  return [...real, ...links];
}
