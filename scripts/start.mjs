// `npm start`: VS Code with Graft and the sample workspace, in a profile of its own under the cache folder.
// The desktop VS Code when `code` is on PATH, otherwise code-server (`--code-server` asks for it; `--port`).
import { spawn } from "node:child_process";
import { copyFileSync, existsSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { ensureCodeServer, freePort, installExtension, startCodeServer } from "./codeServer.mjs";
import { ensurePackaged } from "./package.mjs";
import { cacheFolder, ensurePackages, filesUnder, findProgram, makeFolder } from "./shared.mjs";
import {
  hashOf,
  parseArguments,
  readJson,
  root,
  run,
  runMain,
  say,
  step,
  Stop,
} from "./shared.mjs";

/** First settings of the profile; it is the user's from then on. */
const firstSettings = {
  "workbench.startupEditor": "readme",
  "security.workspace.trust.enabled": false,
  "telemetry.telemetryLevel": "off",
  "update.mode": "none",
  "extensions.autoUpdate": false,
  "extensions.autoCheckUpdates": false,
  "workbench.enableExperiments": false,
};

await runMain(async (args) => {
  const { options } = parseArguments(args, ["port"]);
  const port = options.port === undefined ? undefined : Number(options.port);
  if (port !== undefined && !(Number.isInteger(port) && port > 0 && port < 65536)) {
    throw new Stop(`--port ${options.port} is not a port number.`);
  }
  await ensurePackages();
  const vsix = await ensurePackaged();
  const workspace = sampleWorkspace();
  const code = options["code-server"] ? undefined : findProgram("code");
  return code === undefined
    ? await startInBrowser(vsix, workspace, port)
    : await startOnDesktop(code, vsix, workspace);
});

async function startOnDesktop(code, vsix, workspace) {
  const folders = profile("vscode");
  const shell = process.platform === "win32";
  const quote = (text) => (shell ? `"${text}"` : text);
  const own = ["--user-data-dir", quote(folders.userData)];
  own.push("--extensions-dir", quote(folders.extensions));
  // VS Code refuses to run as root without this.
  if (process.getuid?.() === 0) own.push("--no-sandbox");
  await installOnce(folders, vsix, () =>
    run(quote(code), [...own, "--install-extension", quote(vsix), "--force"], { shell }),
  );
  await run(quote(code), [...own, "--new-window", quote(workspace)], { shell });
  say("VS Code is open with Graft and the sample workspace: click the Graft icon at the left.");
  return 0;
}

async function startInBrowser(vsix, workspace, port) {
  const server = await ensureCodeServer();
  const folders = profile("code-server-profile");
  await installOnce(folders, vsix, () => installExtension(server, folders, vsix));
  const chosen = port ?? (await freePort());
  const { child, address } = await step("Starting code-server", () =>
    startCodeServer(server, folders, { port: chosen, workspace }),
  );
  process.stdout.write(`Graft is ready: ${address}?folder=${encodeURI(workspace)}\n`);
  say("Click the Graft icon at the left. Ctrl-C here ends it.");
  let asked = false;
  const end = () => {
    asked = true;
    child.kill("SIGTERM");
  };
  process.on("SIGINT", end);
  process.on("SIGTERM", end);
  const exitCode = await new Promise((done) => child.on("close", (code) => done(code ?? 1)));
  if (asked) return 0;
  throw new Stop(`code-server ended by itself (exit code ${exitCode}).`);
}

/** User data and extensions apart from the user's own VS Code. */
function profile(name) {
  const folder = join(cacheFolder, name);
  const userData = makeFolder(join(folder, "user-data"));
  const extensions = makeFolder(join(folder, "extensions"));
  const settings = join(makeFolder(join(userData, "User")), "settings.json");
  if (!existsSync(settings)) writeFileSync(settings, JSON.stringify(firstSettings, null, 2));
  return { userData, extensions, installed: join(folder, "installed.json") };
}

async function installOnce(folders, vsix, install) {
  const hash = hashOf([relative(root, vsix)]);
  if (readJson(folders.installed)?.hash === hash) return;
  await step("Installing Graft into its own VS Code profile", install);
  writeFileSync(folders.installed, JSON.stringify({ hash }));
}

/** A copy of media/workspace to play in; files that are there already are the user's and stay. */
function sampleWorkspace() {
  const source = join(root, "media/workspace");
  const workspace = makeFolder(join(cacheFolder, "sample-workspace"));
  for (const path of filesUnder(source)) {
    const copy = join(workspace, relative(source, path));
    if (existsSync(copy)) continue;
    makeFolder(dirname(copy));
    copyFileSync(path, copy);
  }
  return workspace;
}
