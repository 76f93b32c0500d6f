import * as vscode from "vscode";
import type { Command } from "../context.ts";
import type { LoadEstimate, LoadOptions, Precision } from "../protocol/engineContract.ts";
import { formatBytes } from "../views/format.ts";
import { withProgress } from "../views/progress.ts";
import { chooseBase } from "./pickers.ts";
import { loadBase, requireTrust } from "./steps.ts";

/** Loads a base in a precision that the user picks, each with the memory that it takes. */
export const loadBaseModelWith: Command = {
  id: "graft.loadBaseModelWith",
  async run(graft, argument) {
    if (!requireTrust()) return;
    const chosen = await chooseBase(graft, argument);
    if (!chosen) return;
    const title = vscode.l10n.t("Load {0}", chosen.name);
    const estimate = await withProgress(title, () => graft.session.estimateLoad(chosen.path));
    const load = await chooseLoad(title, estimate);
    if (load) await loadBase(graft, chosen.path, { load });
  },
};

type Item = vscode.QuickPickItem & { load?: LoadOptions };

async function chooseLoad(title: string, estimate: LoadEstimate): Promise<LoadOptions | undefined> {
  const items: Item[] = estimate.choices.map(({ precision, bytes, fits }) => ({
    label: precision === "auto" ? estimate.stored : precision,
    description: fits
      ? vscode.l10n.t("about {0}", formatBytes(bytes))
      : vscode.l10n.t("about {0}: more than is free", formatBytes(bytes)),
    detail: meanings()[precision],
    iconPath: new vscode.ThemeIcon(fits ? "circle-outline" : "warning"),
    load: { precision, memory: "resident" },
  }));
  const rest: Item[] = [
    { label: "", kind: vscode.QuickPickItemKind.Separator },
    {
      label: vscode.l10n.t("Mapped from disk"),
      description: estimate.stored,
      detail: vscode.l10n.t("Weights are read from disk as they are needed: slow, fits always"),
      iconPath: new vscode.ThemeIcon("database"),
      load: { precision: "auto", memory: "mapped" },
    },
  ];
  const { free, total } = estimate;
  const placeHolder = vscode.l10n.t(
    "Precision? {0} of {1} memory are free",
    formatBytes(free),
    formatBytes(total),
  );
  const options = { title, placeHolder, ignoreFocusOut: true, matchOnDescription: true };
  return (await vscode.window.showQuickPick([...items, ...rest], options))?.load;
}

function meanings(): Readonly<Record<Precision, string>> {
  return {
    auto: vscode.l10n.t("As the checkpoint stores it"),
    fp32: vscode.l10n.t("32-bit floats"),
    fp16: vscode.l10n.t("Weights rounded to 16-bit floats"),
    bf16: vscode.l10n.t("Weights rounded to bfloat16"),
    int8: vscode.l10n.t("Linear layers in blocks of 8-bit integers: smaller and faster"),
    int4: vscode.l10n.t("Linear layers in blocks of 4-bit integers: smallest and fastest"),
    nf4: vscode.l10n.t("bitsandbytes' NF4 values, as QLoRA trains on"),
    fp4: vscode.l10n.t("bitsandbytes' FP4 values"),
  };
}
