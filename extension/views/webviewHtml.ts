import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import * as vscode from "vscode";

export type Page = "compare" | "inspector" | "playground" | "run" | "status" | "tensors" | "train";

/** Puts a page into a panel. */
export function showPage(panel: vscode.WebviewPanel, extensionUri: vscode.Uri, page: Page): void {
  const { webview } = panel;
  webview.options = { enableScripts: true, localResourceRoots: pageRoots(extensionUri) };
  webview.html = webviewHtml(webview, extensionUri, page);
}

/** Folders that a page may read from. */
function pageRoots(extensionUri: vscode.Uri): vscode.Uri[] {
  return ["dist", "media"].map((folder) => vscode.Uri.joinPath(extensionUri, folder));
}

/** The whole document of a page: our script and style and nothing else, from nowhere else. */
function webviewHtml(webview: vscode.Webview, extensionUri: vscode.Uri, page: Page): string {
  const nonce = randomBytes(16).toString("base64");
  const local = (...path: string[]): string =>
    webview.asWebviewUri(vscode.Uri.joinPath(extensionUri, ...path)).toString();
  const policy = [
    "default-src 'none'",
    // The nonce is for the page's own script, the source for the files that it imports.
    `script-src 'nonce-${nonce}' ${webview.cspSource}`,
    // The UI toolkit puts its components' styles into the page.
    `style-src ${webview.cspSource} 'unsafe-inline'`,
    `font-src ${webview.cspSource}`,
    // A chart becomes a PNG by way of an image of it.
    "img-src data:",
  ].join("; ");
  return `<!DOCTYPE html>
<html lang="${vscode.env.language}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="${local("dist", "webview", `${page}.css`)}">
<title>Graft</title>
</head>
<body class="${page}">
<main id="root"></main>
<script type="application/json" id="l10n">${texts(extensionUri, page)}</script>
<script type="module" nonce="${nonce}" src="${local("dist", "webview", `${page}.js`)}"></script>
</body>
</html>`;
}

/** What a page can say, in the editor's language; "" for English. Nothing in it can end the element. */
function texts(extensionUri: vscode.Uri, page: Page): string {
  const { bundle } = vscode.l10n;
  if (bundle === undefined) return "";
  const list = vscode.Uri.joinPath(extensionUri, "dist", "webview", `${page}.texts.json`);
  const keys = JSON.parse(readFileSync(list.fsPath, "utf8")) as string[];
  const own = Object.fromEntries(keys.map((key) => [key, bundle[key]]));
  return JSON.stringify(own).replaceAll("<", "\\u003c");
}

/** The host's end of a panel's messages. */
export function panelTransport(panel: vscode.WebviewPanel): {
  send(message: unknown): void;
  onMessage(listener: (message: unknown) => void): void;
  onClose(listener: (reason: string) => void): void;
} {
  let open = true;
  panel.onDidDispose(() => (open = false));
  return {
    send: (message) => void (open && panel.webview.postMessage(message)),
    onMessage: (listener) => void panel.webview.onDidReceiveMessage(listener),
    onClose: (listener) =>
      void panel.onDidDispose(() => listener(vscode.l10n.t("The panel was closed."))),
  };
}
