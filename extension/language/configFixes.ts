import * as vscode from "vscode";
import { l10n } from "vscode";
import type { Graft } from "../context.ts";
import { failureOf } from "../failure.ts";
import { editsOf } from "./adapterConfig/edits.ts";
import type { Fix, Problem } from "./adapterConfig/problem.ts";
import { baseValue } from "./bases.ts";
import type { CheckedConfig } from "./configFiles.ts";
import { rangeIn } from "./ranges.ts";

/** Bases among which the one that fits best is looked for; each takes reading its headers. */
const mostBases = 24;

/** Quick fixes; also for what the schema underlines. */
export class ConfigFixes implements vscode.CodeActionProvider {
  constructor(
    private readonly graft: Graft,
    private readonly last: (document: vscode.TextDocument) => CheckedConfig | undefined,
  ) {}

  async provideCodeActions(
    document: vscode.TextDocument,
    range: vscode.Range,
    context: vscode.CodeActionContext,
    token: vscode.CancellationToken,
  ): Promise<vscode.CodeAction[]> {
    const checked = this.last(document);
    // Edits are of the text that was checked; the next check is under way.
    if (checked?.version !== document.version) return [];
    const { text } = checked.document;
    const here = checked.problems.filter(({ at }) => rangeIn(text, at).intersection(range));
    const actions: vscode.CodeAction[] = [];
    for (const problem of here) {
      const bases = problem.wantsBases ? await this.baseFixes(document, token) : [];
      const fixes = [...bases, ...problem.fixes];
      const own = context.diagnostics.filter((each) => isOf(each, problem, text));
      fixes.forEach((fix, i) =>
        actions.push(actionOf(fix, { document, text, own, isFirst: i === 0 })),
      );
    }
    return actions;
  }

  /** One for each base that is here, those that the adapter fits first. */
  private async baseFixes(
    document: vscode.TextDocument,
    token: vscode.CancellationToken,
  ): Promise<Fix[]> {
    const { engine, session, log } = this.graft;
    const controller = new AbortController();
    token.onCancellationRequested(() => controller.abort());
    try {
      await session.discovered();
      const bases = session.state.bases
        .filter(({ unsupported }) => unsupported === undefined)
        .map(({ path }) => path)
        .slice(0, mostBases);
      const params = { path: document.uri.fsPath, text: document.getText(), bases };
      const found = await engine.request("rankBases", params, { signal: controller.signal });
      return found.slice(0, 5).map((candidate): Fix => {
        const { path, name, bound, total, fits } = candidate;
        const value = baseValue(path, document.uri.fsPath);
        const fit = fits
          ? l10n.t("fits, {0} of {1} modules", bound, total)
          : total > 0
            ? l10n.t("{0} of {1} modules", bound, total)
            : l10n.t("does not fit");
        const title = l10n.t("Point the base at {0} ({1})", name, fit);
        return { kind: "set", path: ["base_model_name_or_path"], value, title };
      });
    } catch (thrown) {
      const { code, message } = failureOf(thrown);
      if (code !== "cancelled") log.warn(`Bases not ranked: ${message}`);
      return [];
    }
  }
}

/** Is a diagnostic the problem's own, or what the schema says of the same place? */
function isOf(diagnostic: vscode.Diagnostic, { at, code }: Problem, text: string): boolean {
  const isSame = rangeIn(text, at).isEqual(diagnostic.range);
  return diagnostic.source === "Graft" ? diagnostic.code === code && isSame : isSame;
}

function actionOf(
  fix: Fix,
  at: {
    document: vscode.TextDocument;
    text: string;
    own: vscode.Diagnostic[];
    isFirst: boolean;
  },
): vscode.CodeAction {
  const { document, text, own, isFirst } = at;
  const action = new vscode.CodeAction(fix.title, vscode.CodeActionKind.QuickFix);
  action.diagnostics = own;
  action.isPreferred = isFirst && fix.kind !== "remove";
  if (fix.kind === "command") {
    action.command = { title: fix.title, command: fix.command, arguments: [...fix.arguments] };
  } else if (fix.kind === "open") {
    const file = vscode.Uri.file(fix.file);
    action.command = { title: fix.title, command: "vscode.open", arguments: [file] };
  } else {
    const edit = new vscode.WorkspaceEdit();
    for (const { offset, length, content } of editsOf(fix, text)) {
      edit.replace(document.uri, rangeIn(text, { offset, length }), content);
    }
    action.edit = edit;
  }
  return action;
}
