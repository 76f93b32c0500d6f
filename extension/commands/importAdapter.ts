import * as path from "node:path";
import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { freeName } from "../views/combination.ts";
import { writeConverted } from "./convertSteps.ts";
import { chooseTarget } from "./targets.ts";

/** Makes an adapter folder, as PEFT lays it out, of a `.gguf` or `.onnx_adapter` file. */
export const importAdapter: Command = {
  id: "graft.importAdapter",
  async run(graft, argument) {
    await graft.session.discovered();
    const file = argument instanceof vscode.Uri ? argument : await pickFile();
    if (!file) return;
    const { name: stem, base: fileName } = path.parse(file.fsPath);
    const title = vscode.l10n.t("Import {0}", fileName);
    const taken = graft.session.state.adapters.map((each) => path.basename(each.path));
    const made = await chooseTarget(graft, { name: freeName(stem, taken), title });
    if (!made) return;
    const { folder: target, overwrite } = made;
    const base = graft.session.state.base?.path;
    const to = { kind: "peft" } as const;
    await writeConverted(graft, { name: fileName, path: file.fsPath, base, to, target, overwrite });
  },
};

async function pickFile(): Promise<vscode.Uri | undefined> {
  const [file] =
    (await vscode.window.showOpenDialog({
      title: vscode.l10n.t("Import an adapter file"),
      openLabel: vscode.l10n.t("Import"),
      filters: { [vscode.l10n.t("Adapter files")]: ["gguf", "onnx_adapter"] },
    })) ?? [];
  return file;
}
