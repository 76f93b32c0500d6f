import * as path from "node:path";
import * as vscode from "vscode";
import { dropOnto } from "../commands/loadOnto.ts";
import { mix } from "../commands/mixAdapters.ts";
import { addFolder } from "../config.ts";
import type { Graft } from "../context.ts";
import type { AdapterSummary } from "../protocol/engineContract.ts";
import type { AdapterNode } from "./adapterTree.ts";
import type { BaseNode } from "./baseModelTree.ts";
import { presentError } from "./errors.ts";

/** What VS Code calls rows of the Adapters view while they are dragged; this extension's alone. */
const adapterMime = "application/vnd.code.tree.graft.adapters";
const filesMime = "text/uri-list";

/**
 * Adapters that are dropped onto a base are loaded there (a single one then answers), onto adapters they
 * are mixed with them. Files and folders from elsewhere are added, and then do the same. The commands Mix
 * Adapters and Load Adapters onto Base do it from the keyboard.
 */
export class AdapterDrop<
  T extends AdapterNode | BaseNode,
> implements vscode.TreeDragAndDropController<T> {
  readonly dropMimeTypes = [adapterMime, filesMime];
  readonly dragMimeTypes: string[];

  constructor(
    private readonly graft: Graft,
    view: "graft.baseModels" | "graft.adapters",
  ) {
    this.dragMimeTypes = view === "graft.adapters" ? [adapterMime] : [];
  }

  handleDrag(source: readonly T[], transfer: vscode.DataTransfer): void {
    const paths = source.flatMap((node) => (node.kind === "adapter" ? node.adapter.path : []));
    if (paths.length > 0) transfer.set(adapterMime, new vscode.DataTransferItem(paths.join("\n")));
  }

  async handleDrop(target: T | undefined, transfer: vscode.DataTransfer): Promise<void> {
    try {
      const own = await ownPaths(transfer);
      const files = (await transfer.get(filesMime)?.asString()) ?? "";
      await drop(this.graft, target, own.length > 0 ? own : await addDropped(this.graft, files));
    } catch (thrown) {
      void presentError(this.graft, thrown);
    }
  }
}

/**
 * What `handleDrag` wrote. In another view than the rows' own VS Code puts its own words under the same
 * name before it (which rows of which view), so that `get`, which takes the first, finds no paths.
 */
async function ownPaths(transfer: vscode.DataTransfer): Promise<string[]> {
  const items = [...transfer].filter(([mime]) => mime === adapterMime);
  const texts = await Promise.all(items.map(([, item]) => item.asString()));
  return texts.flatMap((text) => text.split("\n")).filter((line) => path.isAbsolute(line));
}

async function drop(
  graft: Graft,
  target: AdapterNode | BaseNode | undefined,
  paths: readonly string[],
): Promise<void> {
  const { state } = graft.session;
  const dragged = state.adapters.filter(({ path: own }) => paths.includes(own));
  if (dragged.length === 0 || target === undefined) return;
  const base = target.kind === "base" ? target.base.path : baseOf(target);
  if (base !== null) return dropOnto(graft, base, dragged);
  if (target.kind !== "adapter") return;
  const parts = withMix(graft, target.adapter).concat(dragged);
  const isOnce = (part: AdapterSummary, i: number): boolean =>
    parts.findIndex((other) => other.path === part.path) === i;
  const unique = parts.filter(isOnce);
  if (unique.length > 1) await mix(graft, unique);
}

/** A heading of one base's adapters stands for that base. */
function baseOf(target: AdapterNode): string | null {
  return target.kind === "group" ? target.group.basePath : null;
}

/** An adapter, with those that it is mixed with already. */
function withMix({ session }: Graft, adapter: AdapterSummary): AdapterSummary[] {
  const { active, adapters, loaded } = session.state;
  const names = new Set(active.map(({ name }) => name));
  const mixed = loaded.filter(({ name }) => names.has(name)).map((each) => each.path);
  if (!mixed.includes(adapter.path)) return [adapter];
  return adapters.filter(({ path: own }) => mixed.includes(own));
}

/** The adapters in files and folders from outside; a folder that is not known yet is from now on. */
async function addDropped(graft: Graft, list: string): Promise<string[]> {
  const uris = list
    .split(/\r?\n/)
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => vscode.Uri.parse(line));
  const found: string[] = [];
  for (const uri of uris.filter(({ scheme }) => scheme === "file")) {
    if (/\.(gguf|onnx_adapter)$/.test(uri.path)) {
      await vscode.commands.executeCommand("graft.importAdapter", uri);
      continue;
    }
    found.push(...(await adaptersAt(graft, uri)));
  }
  return found;
}

async function adaptersAt(graft: Graft, uri: vscode.Uri): Promise<string[]> {
  const { type } = await vscode.workspace.fs.stat(uri);
  const isFolder = (type & vscode.FileType.Directory) !== 0;
  const folder = isFolder ? uri.fsPath : path.dirname(uri.fsPath);
  const { session } = graft;
  const below = (): string[] =>
    session.state.adapters
      .map((each) => each.path)
      .filter((own) => own === folder || own.startsWith(folder + path.sep));
  if (below().length > 0) return below();
  await addFolder("adapterFolders", folder);
  await session.refresh();
  if (below().length > 0) return below();
  const text = vscode.l10n.t("No adapter in {0}: it holds no {1}.", folder, "adapter_config.json");
  void vscode.window.showWarningMessage(text);
  return [];
}
