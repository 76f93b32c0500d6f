import * as vscode from "vscode";
import { addFolder } from "../config.ts";
import type { Graft } from "../context.ts";
import { adapterOf } from "../knownAdapter.ts";
import type { AdapterInfo, AdapterSummary, BaseModelSummary } from "../protocol/engineContract.ts";
import { adapterStatus, type AdapterStatus } from "../state.ts";
import { formatMethod } from "../views/format.ts";
import { adapterRow, baseRow, type Row } from "../views/rows.ts";
import { withProgress } from "../views/progress.ts";

type Choice<T> = vscode.QuickPickItem & { value?: T; browse?: true };

/** The base that a command was given (a tree row or a path), or one that the user picks. */
export async function chooseBase(
  graft: Graft,
  argument: unknown,
): Promise<BaseModelSummary | undefined> {
  await graft.session.discovered();
  const { bases } = graft.session.state;
  const path = pathOf(argument);
  if (path !== undefined) return bases.find((b) => b.path === path) ?? bareBase(path);
  const items: Choice<BaseModelSummary>[] = bases.map((base) => ({
    ...pickItem(baseRow(graft.session.state, base)),
    value: base,
  }));
  const chosen = await pick(items, vscode.l10n.t("Base model to load"));
  if (!chosen?.browse) return chosen?.value;
  const folder = await browse(graft, "baseModelFolders", vscode.l10n.t("Use as Base Model"));
  if (folder === undefined) return undefined;
  const { state } = graft.session;
  const isBase = state.bases.some((base) => base.path.startsWith(folder));
  const adapter = state.adapters.find((each) => each.path.startsWith(folder));
  // An adapter's folder stands for the base that the adapter leads to.
  return !isBase && adapter ? bareBase(adapter.path) : findUnder(graft, folder, "bases");
}

/** The adapter that a command was given, or one that the user picks from those that `accept` lets through. */
export async function chooseAdapter(
  graft: Graft,
  argument: unknown,
  { placeHolder, accept }: { placeHolder: string; accept?: (status: AdapterStatus) => boolean },
): Promise<AdapterSummary | undefined> {
  await graft.session.discovered();
  const { state } = graft.session;
  const path = pathOf(argument);
  if (path !== undefined) return adapterOf(graft.session, path);
  const wanted = state.adapters.filter((a) => accept?.(adapterStatus(state, a)) ?? true);
  const chosen = await pick(groupedChoices(graft, wanted), placeHolder);
  if (!chosen?.browse) return chosen?.value;
  const folder = await browse(graft, "adapterFolders", vscode.l10n.t("Use as Adapter"));
  return folder === undefined ? undefined : findUnder(graft, folder, "adapters");
}

/** The loaded adapter that a command was given, or one that the user picks. */
export async function chooseLoaded(
  { session }: Graft,
  argument: unknown,
  placeHolder: string,
): Promise<AdapterInfo | undefined> {
  const { loaded } = session.state;
  if (loaded.length === 0) {
    void vscode.window.showInformationMessage(
      vscode.l10n.t("No adapter is loaded. Load one in the Adapters view."),
    );
    return undefined;
  }
  const path = pathOf(argument);
  if (path !== undefined) return loaded.find((l) => l.path === path);
  const items = loaded.map((l) => ({ label: l.name, description: formatMethod(l), value: l }));
  return (await vscode.window.showQuickPick(items, { placeHolder }))?.value;
}

/** The path in what a menu, a key binding or another command handed over. */
export function pathOf(argument: unknown): string | undefined {
  if (typeof argument === "string") return argument;
  if (argument instanceof vscode.Uri) {
    return argument.fsPath.replace(/[/\\]adapter_(config|model)\.[a-z]+$/, "");
  }
  // A row of a tree, or what an inspector page says of itself in its context menu.
  const node = argument as
    { base?: BaseModelSummary; adapter?: AdapterSummary; adapterPath?: unknown } | undefined;
  const own = node?.adapterPath;
  return node?.base?.path ?? node?.adapter?.path ?? (typeof own === "string" ? own : undefined);
}

/** The paths of all rows that a tree's menu was used on; none when a command came by itself. */
export function pathsOf(argument: unknown, selected: unknown): string[] {
  const own = pathOf(argument);
  const nodes = Array.isArray(selected) ? selected : [];
  const others = nodes.map(pathOf).filter((path) => path !== undefined);
  return [...new Set([...(own === undefined ? [] : [own]), ...others])];
}

export function groupedChoices(
  graft: Graft,
  adapters: readonly AdapterSummary[],
): Choice<AdapterSummary>[] {
  const { state } = graft.session;
  const fitting = new Set(["active", "loaded", "fits"]);
  const fits = adapters.filter((a) => fitting.has(adapterStatus(state, a).kind));
  const others = adapters.filter((a) => !fits.includes(a));
  const item = (a: AdapterSummary): Choice<AdapterSummary> => {
    const choice = { ...pickItem(adapterRow(state, a)), value: a };
    // The heading says it already.
    return fits.includes(a) ? { ...choice, detail: undefined } : choice;
  };
  const group = (label: string, members: readonly AdapterSummary[]): Choice<AdapterSummary>[] =>
    members.length === 0
      ? []
      : [{ label, kind: vscode.QuickPickItemKind.Separator }, ...members.map(item)];
  const name = state.base?.name;
  const fitsLabel = vscode.l10n.t("fits {0}", name ?? "");
  const otherLabel = name === undefined ? vscode.l10n.t("adapters") : vscode.l10n.t("other");
  return [...group(fitsLabel, fits), ...group(otherLabel, others)];
}

function pickItem(row: Row): vscode.QuickPickItem {
  const icon = new vscode.ThemeIcon(row.icon);
  const { label, description, status } = row;
  return { label, description, detail: status, iconPath: icon };
}

async function pick<T>(items: Choice<T>[], placeHolder: string): Promise<Choice<T> | undefined> {
  const rest: Choice<T>[] = [
    { label: "", kind: vscode.QuickPickItemKind.Separator },
    {
      label: vscode.l10n.t("Browse…"),
      iconPath: new vscode.ThemeIcon("folder-opened"),
      description: vscode.l10n.t("a folder, which is added to the settings"),
      browse: true,
    },
  ];
  return vscode.window.showQuickPick([...items, ...rest], {
    placeHolder,
    matchOnDescription: true,
    matchOnDetail: true,
  });
}

/** Asks for a folder and makes it known, so that it is in the view from now on. */
export async function browse(
  graft: Graft,
  setting: "adapterFolders" | "baseModelFolders",
  openLabel: string,
): Promise<string | undefined> {
  const options = { canSelectFiles: false, canSelectFolders: true, openLabel };
  const [folder] = (await vscode.window.showOpenDialog(options)) ?? [];
  if (!folder) return undefined;
  await addFolder(setting, folder.fsPath);
  await withProgress(vscode.l10n.t("Looking for models"), () => graft.session.refresh());
  return folder.fsPath;
}

/** What discovery found in a folder that the user has just named. */
function findUnder<K extends "bases" | "adapters">(
  graft: Graft,
  folder: string,
  kind: K,
): (K extends "bases" ? BaseModelSummary : AdapterSummary) | undefined {
  const found = graft.session.state[kind].filter((m) => m.path.startsWith(folder));
  if (found.length === 0) {
    const file = kind === "bases" ? "config.json" : "adapter_config.json";
    const text = vscode.l10n.t("Nothing to load in {0}: it holds no {1}.", folder, file);
    void vscode.window.showWarningMessage(text);
  }
  return found[0] as never;
}

function bareBase(path: string): BaseModelSummary {
  const name = path.split(/[/\\]/).at(-1) ?? path;
  const unknown = { modelType: "", architecture: "", parameters: 0, dtype: "", bytes: 0 };
  return { path, name, ...unknown, source: "folder" };
}
