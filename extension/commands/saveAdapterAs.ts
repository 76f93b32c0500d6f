import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { withProgress } from "../views/progress.ts";
import { wake } from "../wake.ts";
import { chooseLoaded } from "./pickers.ts";
import { exists, offerReveal } from "./steps.ts";

/** Writes a loaded adapter, as PEFT lays it out, below a folder that the user picks. */
export const saveAdapterAs: Command = {
  id: "graft.saveAdapterAs",
  async run(graft, argument) {
    await wake(graft.session);
    const adapter = await chooseLoaded(graft, argument, vscode.l10n.t("Adapter to save"));
    if (!adapter) return;
    const { name } = adapter;
    const format = await chooseFormat(vscode.l10n.t("Save {0}", name));
    if (!format) return;
    const [picked] =
      (await vscode.window.showOpenDialog({
        title: vscode.l10n.t("Save {0} in", name),
        openLabel: vscode.l10n.t("Save Here"),
        canSelectFiles: false,
        canSelectFolders: true,
      })) ?? [];
    if (!picked) return;
    const folder = (await holdsAdapter(picked)) ? picked : vscode.Uri.joinPath(picked, name);
    const overwrite = await holdsAdapter(folder);
    if (overwrite && !(await mayOverwrite(folder))) return;
    const title = vscode.l10n.t("Saving {0}", name);
    const params = { name, folder: folder.fsPath, overwrite, format };
    const { warnings } = await withProgress(title, ({ signal }) =>
      graft.session.saveAdapter(params, { signal }),
    );
    const text = vscode.l10n.t("{0} saved in {1}.", name, folder.fsPath);
    offerReveal(graft, { text: [text, ...warnings].join(" "), folder });
  },
};

/** Whether saving here would replace a file. */
async function holdsAdapter(folder: vscode.Uri): Promise<boolean> {
  const files = ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"];
  const found = await Promise.all(files.map((file) => exists(vscode.Uri.joinPath(folder, file))));
  return found.includes(true);
}

async function mayOverwrite(folder: vscode.Uri): Promise<boolean> {
  const overwrite = vscode.l10n.t("Overwrite");
  const text = vscode.l10n.t("{0} holds an adapter already.", folder.fsPath);
  const detail = vscode.l10n.t("Its configuration and weights are replaced.");
  const chosen = await vscode.window.showWarningMessage(text, { modal: true, detail }, overwrite);
  return chosen === overwrite;
}

/** Asks in which of PEFT's two formats the weights are to be; undefined when the user leaves. */
async function chooseFormat(title: string): Promise<"safetensors" | "bin" | undefined> {
  const items = [
    {
      label: "safetensors",
      description: "adapter_model.safetensors",
      detail: vscode.l10n.t("What PEFT writes unless asked otherwise"),
      format: "safetensors" as const,
    },
    {
      label: "bin",
      description: "adapter_model.bin",
      detail: vscode.l10n.t("What torch.save writes, for tools that read no safetensors"),
      format: "bin" as const,
    },
  ];
  const placeHolder = vscode.l10n.t("In which format?");
  const options = { title, placeHolder, ignoreFocusOut: true };
  return (await vscode.window.showQuickPick(items, options))?.format;
}
