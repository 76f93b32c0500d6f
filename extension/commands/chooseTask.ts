import * as vscode from "vscode";
import type { Command } from "../context.ts";
import type { AdapterInfo } from "../protocol/engineContract.ts";
import { wake } from "../wake.ts";
import { pathOf } from "./pickers.ts";

/** Which task an adapter that was trained for several is to answer for; makes it active. */
export const chooseTask: Command = {
  id: "graft.chooseTask",
  async run({ session }, argument) {
    await wake(session);
    const path = pathOf(argument);
    const fitting = session.state.loaded.filter((l) => l.tasks !== null);
    const own = fitting.filter((l) => path === undefined || l.path === path);
    if (own.length === 0) {
      const text = vscode.l10n.t(
        "No adapter for several tasks is loaded. Load one in the Adapters view.",
      );
      void vscode.window.showInformationMessage(text);
      return;
    }
    const adapter = own.length === 1 ? own[0] : await chooseAmong(own);
    if (!adapter) return;
    const { active } = session.state;
    const now = active.find((a) => a.name === adapter.name);
    const task = await askTask(adapter, now?.task ?? 0);
    if (task === undefined) return;
    const chosen = { name: adapter.name, weight: now?.weight ?? 1, task };
    await session.activate(now ? active.map((a) => (a === now ? chosen : a)) : [chosen]);
  },
};

async function chooseAmong(adapters: readonly AdapterInfo[]): Promise<AdapterInfo | undefined> {
  const items = adapters.map((adapter) => ({
    label: adapter.name,
    description: adapter.method,
    adapter,
  }));
  const placeHolder = vscode.l10n.t("Adapter whose task is to be chosen");
  return (await vscode.window.showQuickPick(items, { placeHolder }))?.adapter;
}

async function askTask({ name, tasks }: AdapterInfo, now: number): Promise<number | undefined> {
  const items = Array.from({ length: tasks ?? 0 }, (_, task) => ({
    label: vscode.l10n.t("Task {0}", task),
    description: task === now ? vscode.l10n.t("chosen now") : "",
    task,
  }));
  const title = vscode.l10n.t("Task of {0}", name);
  const placeHolder = vscode.l10n.t("Tasks are counted from 0, as in training");
  const options = { title, placeHolder, ignoreFocusOut: true };
  return (await vscode.window.showQuickPick(items, options))?.task;
}
