import { realpathSync, statSync } from "node:fs";
import * as path from "node:path";
import * as vscode from "vscode";
import { ChangeQueue, type FoundChanges, heldBy } from "./changeQueue.ts";
import { discoverySettings } from "./config.ts";
import type { Source } from "./protocol/engineContract.ts";
import type { Session } from "./session.ts";

/** Files whose coming, changing or going makes, changes or ends an adapter or a base. */
const modelFiles =
  "**/{adapter_config.json,adapter_model.*,config.json,genai_config.json,*.safetensors,*.onnx,pytorch_model*.bin}";

/** Where the cache says what it holds; its blobs are nobody's business. */
const cacheFiles = "models--*/{snapshots/**,refs/*}";

/** A folder that is watched, by its name here and by its real one. */
interface Root {
  readonly folder: string;
  readonly real: string;
  readonly source: Source;
}

/**
 * Keeps what was found right while files come and go in the workspace, in the folders of the settings
 * and in the Hugging Face cache. Watches nothing before models were looked for.
 */
export class ModelWatch implements vscode.Disposable {
  private roots: Root[] = [];
  private watchers: vscode.Disposable[] = [];
  private cache: string | null = null;
  private readonly queue = new ChangeQueue((changes) => this.look(changes));
  private readonly listeners: vscode.Disposable;

  constructor(
    private readonly session: Session,
    private readonly failed: (thrown: unknown) => void,
  ) {
    const settings = vscode.workspace.onDidChangeConfiguration((event) => {
      const keys = ["adapterFolders", "baseModelFolders", "discoverHuggingFaceCache"];
      if (keys.some((key) => event.affectsConfiguration(`graft.${key}`))) this.again();
    });
    this.listeners = vscode.Disposable.from(
      settings,
      vscode.workspace.onDidChangeWorkspaceFolders(() => this.again()),
      session.onDidChange(({ discovery, cache }) => {
        if (discovery !== "done") return;
        if (this.watchers.length === 0 || cache !== this.cache) this.watch(cache);
      }),
    );
  }

  dispose(): void {
    this.listeners.dispose();
    this.unwatch();
    this.queue.dispose();
  }

  /** Other folders count from now on. */
  private again(): void {
    if (this.session.state.discovery === "none") return;
    this.unwatch();
    this.queue.all();
  }

  private unwatch(): void {
    vscode.Disposable.from(...this.watchers).dispose();
    this.watchers = [];
  }

  private watch(cache: string | null): void {
    this.unwatch();
    this.cache = cache;
    const { adapterFolders, baseModelFolders } = discoverySettings();
    const workspace = (vscode.workspace.workspaceFolders ?? []).map(({ uri }) => uri.fsPath);
    const named = [...new Set([...adapterFolders, ...baseModelFolders])];
    this.roots = [
      ...workspace.map((folder) => rootOf(folder, "workspace")),
      ...named.map((folder) => rootOf(folder, "folder")),
    ];
    for (const { folder } of this.roots) this.watchRoot(folder);
    if (cache === null) return;
    const watcher = this.add(new vscode.RelativePattern(vscode.Uri.file(cache), cacheFiles));
    const changed = (): void => this.queue.all();
    this.watchers.push(watcher.onDidCreate(changed), watcher.onDidDelete(changed));
    this.watchers.push(watcher.onDidChange(changed));
  }

  private watchRoot(folder: string): void {
    const uri = vscode.Uri.file(folder);
    const files = this.add(new vscode.RelativePattern(uri, modelFiles));
    const note = ({ fsPath }: vscode.Uri): void => this.queue.file(this.real(fsPath));
    this.watchers.push(files.onDidCreate(note), files.onDidChange(note), files.onDidDelete(note));
    // Of a folder that comes or goes whole its files are not told of.
    const everything = this.add(new vscode.RelativePattern(uri, "**"), true);
    this.watchers.push(
      everything.onDidCreate(({ fsPath }) => this.queue.tree(this.real(fsPath))),
      everything.onDidDelete(({ fsPath }) => this.gone(this.real(fsPath))),
    );
  }

  private add(pattern: vscode.RelativePattern, ignoreChange = false): vscode.FileSystemWatcher {
    const watcher = vscode.workspace.createFileSystemWatcher(pattern, false, ignoreChange, false);
    this.watchers.push(watcher);
    return watcher;
  }

  private gone(deleted: string): void {
    const { adapters, bases } = this.session.state;
    const known = [...adapters, ...bases].map(({ path: own }) =>
      own.endsWith(".onnx") ? path.dirname(own) : own,
    );
    for (const folder of heldBy(deleted, known)) this.queue.folder(folder);
  }

  private async look({ folders, trees, isAll }: FoundChanges): Promise<void> {
    try {
      const whole = trees.filter((folder) => isFolder(folder) && !isOfRun(folder));
      if (isAll) return await this.session.refresh();
      const known = new Set(this.session.state.adapters.map((adapter) => adapter.path));
      const own = folders.filter((folder) => known.has(folder) || !isOfRun(folder));
      const roots = [
        ...own.map((folder) => ({ path: folder, source: this.sourceOf(folder), isOne: true })),
        ...whole.map((folder) => ({ path: folder, source: this.sourceOf(folder) })),
      ];
      if (roots.length > 0) await this.session.rescan(roots);
    } catch (thrown) {
      this.failed(thrown);
    }
  }

  private sourceOf(folder: string): Source {
    return this.roots.find(({ real }) => isIn(folder, real))?.source ?? "workspace";
  }

  /** As adapters are known: links in the way to a root are followed. */
  private real(file: string): string {
    const root = this.roots.find(({ folder }) => isIn(file, folder));
    return root ? root.real + file.slice(root.folder.length) : file;
  }
}

function rootOf(given: string, source: Source): Root {
  const folder = given.length > 1 ? given.replace(/[/\\]$/, "") : given;
  try {
    return { folder, real: realpathSync(folder), source };
  } catch {
    // It may come later.
    return { folder, real: folder, source };
  }
}

function isIn(file: string, folder: string): boolean {
  return file === folder || file.startsWith(folder + path.sep);
}

/** Checkpoints are listed with their run, as the search leaves them to it. */
function isOfRun(folder: string): boolean {
  const run = path.join(path.dirname(folder), "run.json");
  return statSync(run, { throwIfNoEntry: false })?.isFile() ?? false;
}

function isFolder(place: string): boolean {
  return statSync(place, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
