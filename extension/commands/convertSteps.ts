import * as vscode from "vscode";
import type { Graft } from "../context.ts";
import type { Conversion } from "../protocol/writeContract.ts";
import { describeResult } from "../views/conversion.ts";
import { withProgress } from "../views/progress.ts";
import { offerReveal } from "./steps.ts";
import { makeKnown } from "./targets.ts";

export interface Converting {
  /** For people. */
  name: string;
  /** The adapter's folder or, for "peft", the file. */
  path: string;
  base: string | undefined;
  to: Conversion;
  target: vscode.Uri;
  overwrite: boolean;
}

/** Runs a conversion, says what became of it and puts an adapter's folder into the view. */
export async function writeConverted(
  graft: Graft,
  { name, target, ...params }: Converting,
): Promise<void> {
  const title = vscode.l10n.t("Converting {0}", name);
  const result = await withProgress(title, (work) =>
    graft.session.convert({ ...params, target: target.fsPath }, work),
  );
  const isFile = params.to.kind === "onnxAdapter" || params.to.kind === "gguf";
  if (!isFile) await makeKnown(graft, result.target);
  const what = describeResult(result, params.to.kind);
  const text = vscode.l10n.t("{0} converted into {1}: {2}", name, result.target, what);
  const load = {
    title: vscode.l10n.t("Activate"),
    run: () => vscode.commands.executeCommand("graft.activateAdapter", result.target),
  };
  offerReveal(graft, { text, folder: vscode.Uri.file(result.target) }, ...(isFile ? [] : [load]));
}
