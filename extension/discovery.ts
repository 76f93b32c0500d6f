import * as path from "node:path";
import * as vscode from "vscode";
import { discoverySettings } from "./config.ts";
import type { DiscoverParams } from "./protocol/engineContract.ts";

/** Bounds a workspace that holds very many checkpoints; the search stays quick. */
const maxFound = 20_000;

const exclude = "**/{node_modules,.git}/**";

/** Where the engine is to look: workspace, settings, Hugging Face cache, built-in sample. */
export async function discoveryRoots(sample: string): Promise<DiscoverParams> {
  const { adapterFolders, baseModelFolders, huggingFaceCache } = discoverySettings();
  const folders = [...adapterFolders, ...baseModelFolders];
  const found = await workspaceFolders();
  return {
    roots: [
      ...found.map((folder) => ({ path: folder, source: "workspace" as const, isOne: true })),
      ...folders.map((folder) => ({ path: folder, source: "folder" as const })),
      { path: sample, source: "sample" },
    ],
    huggingFaceCache,
  };
}

/**
 * Folders of the workspace that hold an adapter, a checkpoint or an export. VS Code's own search knows
 * what the user excludes, and is quick in large workspaces.
 */
async function workspaceFolders(): Promise<string[]> {
  const [adapters, configs, weights] = await Promise.all(
    ["adapter_config.json", "{config,genai_config}.json", "*.{safetensors,onnx,bin}"].map((name) =>
      vscode.workspace.findFiles(`**/${name}`, exclude, maxFound),
    ),
  );
  const weighted = new Set((weights ?? []).map(folderOf));
  const bases = (configs ?? [])
    .map(folderOf)
    .filter((folder) => weighted.has(folder) || weighted.has(path.join(folder, "onnx")));
  return [...new Set([...(adapters ?? []).map(folderOf), ...bases])];
}

function folderOf(file: vscode.Uri): string {
  return path.dirname(file.fsPath);
}
