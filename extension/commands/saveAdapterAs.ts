import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { withProgress } from "../views/progress.ts";
import { wake } from "../wake.ts";
import { chooseLoaded } from "./pickers.ts";
import { offerReveal } from "./steps.ts";
import { confirmTarget, holdsAdapter, pickFolder } from "./targets.ts";

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
    const picked = await pickFolder(vscode.l10n.t("Save {0} in", name));
    if (!picked) return;
    const wanted = (await holdsAdapter(picked)) ? picked : vscode.Uri.joinPath(picked, name);
    const target = await confirmTarget(graft, wanted, { own: adapter.path });
    if (!target) return;
    const { folder, overwrite } = target;
    const title = vscode.l10n.t("Saving {0}", name);
    const params = { name, folder: folder.fsPath, overwrite, format };
    const { warnings } = await withProgress(title, ({ signal }) =>
      graft.session.saveAdapter(params, { signal }),
    );
    const text = vscode.l10n.t("{0} saved in {1}.", name, folder.fsPath);
    offerReveal(graft, { text: [text, ...warnings].join(" "), folder });
  },
};

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
