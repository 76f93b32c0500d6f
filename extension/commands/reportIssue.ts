import * as os from "node:os";
import * as vscode from "vscode";
import type { Command, Graft } from "../context.ts";
import { protocolVersion } from "../protocol/engineContract.ts";
import { issueReport } from "../views/issueReport.ts";

/** Writes what a report needs into a document that the user reads and sends; it sends nothing itself. */
export const reportIssue: Command = {
  id: "graft.reportIssue",
  async run(graft) {
    const content = issueReport({
      versions: await versionsOf(graft),
      state: graft.session.state,
      log: graft.recent.lines(),
      folders: ownFolders(graft),
    });
    const document = await vscode.workspace.openTextDocument({ language: "markdown", content });
    await vscode.window.showTextDocument(document, { preview: false });
    const copy = vscode.l10n.t("Copy");
    const reporter = vscode.l10n.t("Open Issue Reporter");
    const text = vscode.l10n.t(
      "Nothing was sent. Read the report, shorten it, and send it where you like.",
    );
    // Not awaited: the document is what was asked for.
    void vscode.window.showInformationMessage(text, copy, reporter).then((chosen) => {
      // As it stands then, with what the user took out.
      if (chosen === copy) return vscode.env.clipboard.writeText(document.getText());
      if (chosen !== reporter) return undefined;
      const data = { extensionId: graft.extension.extension.id, data: document.getText() };
      return vscode.commands.executeCommand("workbench.action.openIssueReporter", data);
    });
  },
};

async function versionsOf({ engine, extension }: Graft): Promise<[string, string][]> {
  const { version } = extension.extension.packageJSON as { version: string };
  // An engine that does not run is not started for this: that may be what is reported.
  const hello =
    engine.state === "ready"
      ? await engine.request("hello", { version: protocolVersion }).catch(() => undefined)
      : undefined;
  const [cpu] = os.cpus();
  const memory = `${Math.round(os.totalmem() / 2 ** 30)} GiB`;
  return [
    ["Graft", version],
    ["VS Code", `${vscode.version} (${vscode.env.appName}, ${vscode.env.language})`],
    ["Node.js", process.versions.node],
    ["ONNX Runtime", hello?.runtime ?? vscode.l10n.t("engine not running")],
    [vscode.l10n.t("System"), `${os.type()} ${os.release()} ${os.arch()}`],
    [vscode.l10n.t("Processor"), `${cpu?.model ?? ""} × ${os.cpus().length}, ${memory}`],
  ];
}

function ownFolders({ extension }: Graft): [string, string][] {
  const workspace = (vscode.workspace.workspaceFolders ?? []).map(
    ({ uri }, i): [string, string] => [uri.fsPath, `<workspace ${i + 1}>`],
  );
  return [
    ...workspace,
    [extension.extensionPath, "<graft>"],
    [extension.globalStorageUri.fsPath, "<storage>"],
    [os.homedir(), "~"],
    [os.userInfo().username, "<user>"],
  ];
}
