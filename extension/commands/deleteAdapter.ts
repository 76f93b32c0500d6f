import * as vscode from "vscode";
import type { Command, Graft } from "../context.ts";
import { HostError } from "../failure.ts";
import type { AdapterSummary } from "../protocol/engineContract.ts";
import { type Deletion, type FolderEntry, planDeletion } from "../views/deletion.ts";
import { formatBytes } from "../views/format.ts";
import { chooseAdapter } from "./pickers.ts";
import { moveToTrash } from "./trash.ts";

type Wanted = Exclude<Deletion, { kind: "refused" }>;

/** Moves an adapter's files to the trash, after a question that names them; unloads it with that. */
export const deleteAdapter: Command = {
  id: "graft.deleteAdapter",
  async run(graft, argument) {
    const adapter = await chooseAdapter(graft, argument, {
      placeHolder: vscode.l10n.t("Adapter to delete from the disk"),
      accept: () => true,
    });
    if (!adapter) return;
    const folder = vscode.Uri.file(adapter.path);
    const plan = planDeletion(adapter.path, await entriesOf(folder), {
      source: adapter.source,
      isRoot: isOpened(folder),
    });
    if (plan.kind === "refused") {
      const text = vscode.l10n.t("{0} is not deleted: {1}", adapter.name, plan.reason);
      throw new HostError("unsupported", text);
    }
    if (!(await confirm(graft, adapter, plan))) return;
    if (!(await remove(folder, plan))) return;
    const loaded = graft.session.state.loaded.find((l) => l.path === adapter.path);
    if (loaded) await graft.session.unloadAdapter(loaded.name);
    graft.inspectors.close(adapter.path);
    await graft.session.refresh();
    vscode.window.setStatusBarMessage(vscode.l10n.t("$(trash) {0} deleted", adapter.name), 5000);
  },
};

async function entriesOf(folder: vscode.Uri): Promise<FolderEntry[]> {
  const entries = await vscode.workspace.fs.readDirectory(folder);
  return Promise.all(
    entries.map(async ([name, type]) => {
      const file = vscode.Uri.joinPath(folder, name);
      const stat = await Promise.resolve(vscode.workspace.fs.stat(file)).catch(() => undefined);
      const isFolder = (type & vscode.FileType.Directory) !== 0;
      return { name, isFolder, bytes: stat?.size ?? 0 };
    }),
  );
}

function isOpened(folder: vscode.Uri): boolean {
  const roots = vscode.workspace.workspaceFolders ?? [];
  return roots.some(({ uri }) => uri.toString() === folder.toString());
}

async function confirm(
  { session }: Graft,
  { name, path }: AdapterSummary,
  plan: Wanted,
): Promise<boolean> {
  const size = formatBytes(plan.bytes);
  const sentences = [
    plan.kind === "folder"
      ? vscode.l10n.t("The folder {0} ({1}) is moved to the trash.", path, size)
      : vscode.l10n.t("Moved to the trash from {0}: {1} ({2}).", path, plan.names.join(", "), size),
    plan.kind === "files" && vscode.l10n.t("What else is there stays: {0}.", few(plan.kept)),
    session.state.loaded.some((l) => l.path === path) &&
      vscode.l10n.t("It is loaded, and is unloaded with that."),
  ];
  const text = vscode.l10n.t("Delete {0} from the disk?", name);
  const detail = sentences.filter((sentence) => sentence !== false).join(" ");
  const move = vscode.l10n.t("Move to Trash");
  return (await vscode.window.showWarningMessage(text, { modal: true, detail }, move)) === move;
}

/** False when the user kept it after all. */
async function remove(folder: vscode.Uri, plan: Wanted): Promise<boolean> {
  const targets =
    plan.kind === "folder" ? [folder] : plan.names.map((name) => vscode.Uri.joinPath(folder, name));
  return moveToTrash(targets, { recursive: plan.kind === "folder" });
}

function few(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(", ");
  return names.length > 5 ? vscode.l10n.t("{0} and {1} more", shown, names.length - 5) : shown;
}
