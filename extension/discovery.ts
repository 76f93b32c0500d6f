import * as path from "node:path";
import * as vscode from "vscode";
import { discoverySettings } from "./config.ts";
import type { DiscoverParams } from "./protocol/engineContract.ts";

/** Bounds a workspace that holds very many checkpoints; the search stays quick. */
const maxFound = 2000;

const exclude = "**/{node_modules,.git}/**";

/** Where the engine is to look: workspace, settings, Hugging Face cache, built-in sample. */
export async function discoveryRoots(sample: string): Promise<DiscoverParams> {
  const { adapterFolders, baseModelFolders, huggingFaceCache } = discoverySettings();
  const folders = [...adapterFolders, ...baseModelFolders];
  const found = await workspaceFolders();
  return {
    roots: [
      ...found.map((folder) => ({ path: folder, source: "workspace" as const })),
      ...folders.map((folder) => ({ path: folder, source: "folder" as const })),
      { path: sample, source: "sample" },
    ],
    huggingFaceCache,
  };
}

/** Calls back, after a pause, when adapters or the folders that hold them change. */
export function watchAdapters(changed: () => void): vscode.Disposable {
  let timer: NodeJS.Timeout | undefined;
  const soon = (): void => {
    clearTimeout(timer);
    timer = setTimeout(changed, 500);
  };
  const watchers = ["**/adapter_config.json", "**/adapter_model.*"].flatMap((pattern) => {
    const watcher = vscode.workspace.createFileSystemWatcher(pattern);
    return [
      watcher,
      watcher.onDidCreate(soon),
      watcher.onDidChange(soon),
      watcher.onDidDelete(soon),
    ];
  });
  const settings = vscode.workspace.onDidChangeConfiguration((event) => {
    const keys = ["adapterFolders", "baseModelFolders", "discoverHuggingFaceCache"];
    if (keys.some((key) => event.affectsConfiguration(`graft.${key}`))) soon();
  });
  const folders = vscode.workspace.onDidChangeWorkspaceFolders(soon);
  const stop = { dispose: () => clearTimeout(timer) };
  return vscode.Disposable.from(...watchers, settings, folders, stop);
}

async function workspaceFolders(): Promise<string[]> {
  const [adapters, configs, weights] = await Promise.all([
    vscode.workspace.findFiles("**/adapter_config.json", exclude, maxFound),
    vscode.workspace.findFiles("**/config.json", exclude, maxFound),
    vscode.workspace.findFiles("**/*.safetensors", exclude, maxFound),
  ]);
  const weighted = new Set(weights.map(folderOf));
  const bases = configs.map(folderOf).filter((folder) => weighted.has(folder));
  return [...new Set([...adapters.map(folderOf), ...bases])];
}

function folderOf(file: vscode.Uri): string {
  return path.dirname(file.fsPath);
}
