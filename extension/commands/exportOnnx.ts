import * as vscode from "vscode";
import type { Command, Graft } from "../context.ts";
import type { ExportOnnxParams } from "../protocol/writeContract.ts";
import { formatBytes, formatModel } from "../views/format.ts";
import { withProgress } from "../views/progress.ts";
import { requireBase, offerReveal, requireTrust } from "./steps.ts";
import { newModelFolder } from "./targets.ts";

type Choices = Pick<ExportOnnxParams, "adapters" | "dtype" | "layout">;

/** Writes the loaded base, with the active adapters, as an ONNX model for other runtimes. */
export const exportOnnx: Command = {
  id: "graft.exportOnnx",
  async run(graft) {
    if (!requireTrust()) return;
    if (!(await requireBase(graft, vscode.l10n.t("Exporting")))) return;
    const { base, active } = graft.session.state;
    if (!base) return;
    const model = formatModel(base.name, active);
    const choices = await chooseForm(graft, model);
    if (!choices) return;
    const folder = await vscode.window.showSaveDialog({
      title: vscode.l10n.t("Export {0} into a new folder", model),
      saveLabel: vscode.l10n.t("Export"),
      defaultUri: newModelFolder([base.name, ...active.map(({ name }) => name), "onnx"]),
    });
    if (!folder) return;
    const title = vscode.l10n.t("Exporting {0}", model);
    const params = { ...choices, active: [...active], folder: folder.fsPath };
    const result = await withProgress(title, (work) => graft.session.exportOnnx(params, work));
    const text = vscode.l10n.t(
      "{0} exported to {1} ({2}). It was run to check it: no logit differs by more than {3}.",
      model,
      result.folder,
      formatBytes(result.bytes),
      result.difference.toExponential(0),
    );
    offerReveal(graft, { text, folder: vscode.Uri.file(result.folder) });
  },
};

/** Asks what is to become of the adapters, of the weights' type and of the files; undefined when the user leaves. */
async function chooseForm(graft: Graft, title: string): Promise<Choices | undefined> {
  const hasAdapters = graft.session.state.active.length > 0;
  const adapters = hasAdapters ? await choose(title, adapterForms()) : "merged";
  if (!adapters) return undefined;
  const dtype = await choose(title, dtypes());
  if (!dtype) return undefined;
  const layout = await choose(title, layouts());
  return layout && { adapters, dtype, layout };
}

type Item<T> = vscode.QuickPickItem & { value: T };

async function choose<T>(title: string, items: Item<T>[]): Promise<T | undefined> {
  return (await vscode.window.showQuickPick(items, { title, ignoreFocusOut: true }))?.value;
}

function adapterForms(): Item<Choices["adapters"]>[] {
  return [
    {
      label: vscode.l10n.t("Merged into the weights"),
      detail: vscode.l10n.t("One model that answers as the active adapters do"),
      value: "merged",
    },
    {
      label: vscode.l10n.t("As inputs of the model"),
      detail: vscode.l10n.t(
        "One model for all, and an .onnx_adapter file for each: low-rank adapters alone",
      ),
      value: "inputs",
    },
  ];
}

function dtypes(): Item<Choices["dtype"]>[] {
  return [
    { label: "fp32", detail: vscode.l10n.t("Weights as Graft computes with them"), value: "fp32" },
    { label: "fp16", detail: vscode.l10n.t("Weights in half the size, rounded"), value: "fp16" },
  ];
}

function layouts(): Item<Choices["layout"]>[] {
  return [
    {
      label: "ONNX Runtime GenAI",
      detail: vscode.l10n.t("All files in one folder, with genai_config.json"),
      value: "genai",
    },
    {
      label: "transformers.js",
      detail: vscode.l10n.t("The model below onnx/, config and tokenizer above it"),
      value: "transformers.js",
    },
  ];
}
