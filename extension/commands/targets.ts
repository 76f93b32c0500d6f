import { homedir } from "node:os";
import * as path from "node:path";
import * as vscode from "vscode";
import { addFolder } from "../config.ts";
import type { Graft } from "../context.ts";
import { HostError } from "../failure.ts";
import { exists } from "./steps.ts";

/** Where a command writes an adapter; nothing that exists is replaced without asking. */

export interface Target {
  folder: vscode.Uri;
  /** The user has agreed to replace the adapter that is there. */
  overwrite: boolean;
}

const adapterFiles = [
  "adapter_config.json",
  "adapter_model.safetensors",
  "adapter_model.bin",
  "README.md",
];

/** Asks for the name of an adapter that is to be loaded; undefined when the user leaves. */
export function askName(
  { session }: Graft,
  { title, prompt, value, own }: { title: string; prompt: string; value: string; own?: string },
): Promise<string | undefined> {
  const taken = session.state.loaded.map((l) => l.name).filter((name) => name !== own);
  const problemOf = (name: string): string | undefined => {
    if (taken.includes(name)) return vscode.l10n.t("Another loaded adapter has this name");
    return name === "" || /[\\/]|^\.{1,2}$/.test(name)
      ? vscode.l10n.t("A name that a folder can have")
      : undefined;
  };
  const validateInput = (text: string): string | undefined => problemOf(text.trim());
  const options = { title, prompt, value, validateInput, ignoreFocusOut: true };
  return Promise.resolve(vscode.window.showInputBox(options)).then((name) => name?.trim());
}

/** Asks where the folder of a new adapter is to be, and before an adapter there is replaced. */
export async function chooseTarget(
  graft: Graft,
  { name, title }: { name: string; title: string },
): Promise<Target | undefined> {
  const usual = vscode.Uri.file(path.join(usualParent(), name));
  const items = [
    {
      label: name,
      description: vscode.l10n.t("in {0}", path.dirname(usual.fsPath)),
      iconPath: new vscode.ThemeIcon("new-folder"),
      folder: usual,
    },
    {
      label: vscode.l10n.t("Another Folder…"),
      description: vscode.l10n.t("{0} is made in the one that you choose", name),
      iconPath: new vscode.ThemeIcon("folder-opened"),
      folder: undefined,
    },
  ];
  const placeHolder = vscode.l10n.t("Where is it to be kept?");
  const chosen = await vscode.window.showQuickPick(items, {
    title,
    placeHolder,
    ignoreFocusOut: true,
  });
  if (!chosen) return undefined;
  if (chosen.folder) return confirmTarget(graft, chosen.folder);
  const parent = await pickFolder(title);
  return parent && confirmTarget(graft, vscode.Uri.joinPath(parent, name));
}

export async function pickFolder(title: string): Promise<vscode.Uri | undefined> {
  const openLabel = vscode.l10n.t("Save Here");
  const options = { title, openLabel, canSelectFiles: false, canSelectFolders: true };
  return (await vscode.window.showOpenDialog(options))?.[0];
}

/** The folder, once the user agrees to what is replaced there; never one that is in memory. */
export async function confirmTarget(
  { session }: Graft,
  folder: vscode.Uri,
  { own }: { own?: string } = {},
): Promise<Target | undefined> {
  const loaded = session.state.loaded.find((l) => l.path === folder.fsPath && l.path !== own);
  if (loaded) {
    const text = vscode.l10n.t(
      "{0} is loaded from {1}. Unload it first, or choose another folder.",
      loaded.name,
      folder.fsPath,
    );
    throw new HostError("bad-request", text);
  }
  const there = await filesIn(folder);
  if (there.length === 0) return { folder, overwrite: false };
  const overwrite = vscode.l10n.t("Overwrite");
  const text = there.some((file) => file.startsWith("adapter_"))
    ? vscode.l10n.t("{0} holds an adapter already.", folder.fsPath)
    : vscode.l10n.t("{0} is not empty.", folder.fsPath);
  const detail = vscode.l10n.t("Replaced there: {0}. Other files stay.", there.join(", "));
  const chosen = await vscode.window.showWarningMessage(text, { modal: true, detail }, overwrite);
  return chosen === overwrite ? { folder, overwrite: true } : undefined;
}

/** Whether saving here would replace an adapter. */
export async function holdsAdapter(folder: vscode.Uri): Promise<boolean> {
  return (await filesIn(folder)).some((file) => file.startsWith("adapter_"));
}

async function filesIn(folder: vscode.Uri): Promise<string[]> {
  const found = await Promise.all(
    adapterFiles.map((file) => exists(vscode.Uri.joinPath(folder, file))),
  );
  return adapterFiles.filter((_, i) => found[i]);
}

/** "adapters" in the workspace, or in the home folder where none is open. */
export function usualParent(): string {
  const workspace = vscode.workspace.workspaceFolders?.[0]?.uri;
  return path.join(workspace?.scheme === "file" ? workspace.fsPath : homedir(), "adapters");
}

/** Makes sure that an adapter that was just written is in the view, wherever it is. */
export async function makeKnown({ session }: Graft, folder: string): Promise<void> {
  await session.refresh();
  if (session.state.adapters.some(({ path: own }) => own === folder)) return;
  await addFolder("adapterFolders", folder);
  await session.refresh();
}

/** Beside the workspace, so that a model of many gigabytes does not become part of it. */
export function newModelFolder(parts: readonly string[]): vscode.Uri {
  const workspace = vscode.workspace.workspaceFolders?.[0]?.uri;
  const parent = workspace?.scheme === "file" ? path.dirname(workspace.fsPath) : homedir();
  return vscode.Uri.file(path.join(parent, parts.join("-").replace(/[\\/:]/g, "-")));
}
