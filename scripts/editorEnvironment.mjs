// A real VS Code with the packaged extension, as test/e2e/harness.ts finds it in its environment.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureCodeServer, findChromium, installExtension } from "./codeServer.mjs";
import { ensurePackaged } from "./package.mjs";
import { cacheFolder, makeFolder } from "./shared.mjs";

export async function editorEnvironment() {
  const chromium = findChromium();
  const server = await ensureCodeServer();
  const vsix = await ensurePackaged();
  // Installed once; every window has a copy of its own.
  const place = mkdtempSync(join(tmpdir(), "graft-installed-"));
  process.once("exit", () => rmSync(place, { recursive: true, force: true }));
  const folders = { userData: join(place, "user-data"), extensions: join(place, "extensions") };
  await installExtension(server, folders, vsix);
  return {
    GRAFT_E2E_NODE: server.node,
    GRAFT_E2E_CODE_SERVER: server.entry,
    GRAFT_E2E_CHROMIUM: chromium,
    GRAFT_E2E_INSTALLED: folders.extensions,
    GRAFT_E2E_WARM: makeFolder(join(cacheFolder, "code-server/warm")),
  };
}
