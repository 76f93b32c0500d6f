import * as path from "node:path";
import { realpath } from "node:fs/promises";
import * as vscode from "vscode";
import type { EngineProcess } from "../engineProcess.ts";
import { failureOf } from "../failure.ts";
import { Connection, type Handlers } from "../protocol/connection.ts";
import type {
  TensorLink,
  TensorsContract,
  TensorsHostContract,
  TensorsState,
} from "../protocol/tensorContract.ts";
import { saveFile } from "./saveFile.ts";
import { panelTransport, showPage } from "./webviewHtml.ts";

/** `*.safetensors` by default; the index of shards where it is opened with this editor. */
const tensorViewTypes = ["graft.tensors", "graft.tensorIndex"] as const;

/** A file that is written anew changes many times; it is read when it has been still for so long. */
const quietMs = 300;

/** The read-only editor of tensor files: their table at once, values when they are asked for. */
export class TensorEditor implements vscode.CustomReadonlyEditorProvider {
  constructor(
    private readonly extension: vscode.ExtensionContext,
    private readonly engine: Pick<EngineProcess, "request">,
  ) {}

  /** Both kinds of files, in one editor. */
  register(): vscode.Disposable {
    return vscode.Disposable.from(
      ...tensorViewTypes.map((viewType) =>
        vscode.window.registerCustomEditorProvider(viewType, this),
      ),
    );
  }

  openCustomDocument(uri: vscode.Uri): vscode.CustomDocument {
    return { uri, dispose: () => undefined };
  }

  resolveCustomEditor({ uri }: vscode.CustomDocument, panel: vscode.WebviewPanel): void {
    const { extensionUri } = this.extension;
    const page = new Connection<TensorsHostContract, TensorsContract>(
      panelTransport(panel),
      this.handlers(uri),
    );
    showPage(panel, extensionUri, "tensors");
    if (uri.scheme !== "file") return;
    const update = async (): Promise<void> => {
      // A hidden page is not there; it asks again when it is shown.
      if (panel.visible) await page.request("update", await this.read(uri));
    };
    const watch = onChange(uri, () => void update().catch(() => undefined));
    panel.onDidDispose(() => watch.dispose());
  }

  private handlers(uri: vscode.Uri): Handlers<TensorsHostContract> {
    return {
      ready: () => this.read(uri),
      reload: () => this.read(uri),
      statistics: (params, { emit, signal }) =>
        this.engine.request("tensorStatistics", params, { onEvent: emit, signal }),
      values: (params, { signal }) => this.engine.request("tensorValues", params, { signal }),
      copy: async ({ text, what }) => {
        await vscode.env.clipboard.writeText(text);
        vscode.window.setStatusBarMessage(vscode.l10n.t("$(check) {0} copied", what), 3000);
        return null;
      },
      save: ({ name, content, base64 }) => saveFile(uri, { name, content, base64 }),
      follow: async () => {
        const folder = await realpath(path.dirname(uri.fsPath));
        const link = await linkOf(uri);
        const command = link === "adapter" ? "graft.openInspector" : "graft.loadBaseModel";
        if (link !== null) await vscode.commands.executeCommand(command, folder);
        return null;
      },
    };
  }

  private async read(uri: vscode.Uri): Promise<TensorsState> {
    const name = path.posix.basename(uri.path);
    if (uri.scheme !== "file") {
      const problem = vscode.l10n.t(
        '{0} lies on a file system of the kind "{1}", and tensors are read from files on disk only. Save a copy on this machine\'s disk and open that.',
        name,
        uri.scheme,
      );
      return { name, table: null, problem, link: null };
    }
    const link = await linkOf(uri);
    try {
      const table = await this.engine.request("tensorTable", { path: uri.fsPath });
      return { name, table, problem: null, link };
    } catch (thrown) {
      return { name, table: null, problem: failureOf(thrown).message, link };
    }
  }
}

/** Whether a file is an adapter's or a base's, by what lies beside it. */
async function linkOf(uri: vscode.Uri): Promise<TensorLink> {
  const has = (name: string): Thenable<boolean> =>
    vscode.workspace.fs.stat(vscode.Uri.joinPath(uri, "..", name)).then(
      () => true,
      () => false,
    );
  if (await has("adapter_config.json")) return "adapter";
  return (await has("config.json")) ? "base" : null;
}

function onChange(uri: vscode.Uri, run: () => void): vscode.Disposable {
  const folder = vscode.Uri.joinPath(uri, "..");
  // Shards change with their index.
  const base = path.basename(uri.fsPath).replace(/\.index\.json$/i, "");
  const glob = /\.index\.json$/i.test(uri.path) ? "*.safetensors*" : escapeGlob(base);
  const watcher = vscode.workspace.createFileSystemWatcher(
    new vscode.RelativePattern(folder, glob),
  );
  let timer: NodeJS.Timeout | undefined;
  const soon = (): void => {
    clearTimeout(timer);
    timer = setTimeout(run, quietMs);
  };
  return vscode.Disposable.from(
    watcher,
    watcher.onDidChange(soon),
    watcher.onDidCreate(soon),
    watcher.onDidDelete(soon),
    { dispose: () => clearTimeout(timer) },
  );
}

function escapeGlob(name: string): string {
  return name.replace(/[[\]{}*?]/g, (char) => `[${char}]`);
}
