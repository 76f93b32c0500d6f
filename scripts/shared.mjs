// What all scripts share: saying what happens, running programs, packages, builds. Node built-ins only,
// because these scripts start on a fresh clone, before anything is installed.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, mkdirSync, readdirSync } from "node:fs";
import { readFileSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");

/** Big things that survive between runs; `GRAFT_CACHE` puts them elsewhere. */
export const cacheFolder = resolve(root, process.env.GRAFT_CACHE ?? ".cache");

export const platformTarget = `${process.platform}-${process.arch}`;

export function say(text) {
  process.stderr.write(`${text}\n`);
}

/** Ends the script with a sentence instead of a stack. */
export class Stop extends Error {}

/** Runs a script's `main`; a `Stop` is for people, anything else keeps its stack. */
export async function runMain(main) {
  try {
    process.exitCode = (await main(process.argv.slice(2))) ?? 0;
  } catch (error) {
    say(error instanceof Stop ? error.message : (error?.stack ?? String(error)));
    process.exitCode = 1;
  }
}

/** Says what happens while it happens, and how long it took. */
export async function step(label, work) {
  const start = Date.now();
  const seconds = () => `${Math.round((Date.now() - start) / 1000)} s`;
  const live = process.stderr.isTTY;
  let ticker;
  if (live) {
    process.stderr.write(`${label}…`);
    ticker = setInterval(() => process.stderr.write(`\r${label}… ${seconds()}`), 1000);
  } else {
    say(`${label}…`);
    ticker = setInterval(() => say(`${label}… ${seconds()}`), 30_000);
  }
  try {
    const result = await work();
    clearInterval(ticker);
    if (live) process.stderr.write(`\r${label}: ${seconds()} \n`);
    else say(`${label}: ${seconds()}`);
    return result;
  } catch (error) {
    clearInterval(ticker);
    if (live) process.stderr.write("\n");
    throw error;
  }
}

/** Runs a program to its end; its output is kept back and shown only when it fails. */
export function run(command, args, { cwd = root, env, shell = false } = {}) {
  return new Promise((done, fail) => {
    const child = spawn(command, args, {
      cwd,
      shell,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    const keep = (chunk) => (output += chunk);
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.on("error", (error) => fail(new Stop(`${command} did not start: ${error.message}`)));
    child.on("close", (code, signal) => {
      if (code === 0) return done(output);
      const shown = [command, ...args].join(" ");
      fail(new Stop(`${shown}\nfailed (${signal ?? `exit code ${code}`}):\n${output.trimEnd()}`));
    });
  });
}

/** The path of a program on PATH, or undefined. */
export function findProgram(...names) {
  const endings = process.platform === "win32" ? [".cmd", ".exe", ".bat"] : [""];
  for (const name of names) {
    for (const folder of (process.env.PATH ?? "").split(delimiter)) {
      for (const ending of endings) {
        const path = join(folder, name + ending);
        try {
          accessSync(path, constants.X_OK);
          if (statSync(path).isFile()) return path;
        } catch {
          // Not here; the next folder may have it.
        }
      }
    }
  }
  return undefined;
}

/** Runs npm, with this Node or the one that is given. */
export function runNpm(args, { node = process.execPath, env, ...options } = {}) {
  // onnxruntime-node's install script would download CUDA libraries that Graft does not use; older npm
  // hands the key of .npmrc on to it, newer npm does not run the script at all (`allowScripts`).
  const all = [...args, "--no-audit", "--no-fund", "--loglevel=error"];
  // An npm around this script names its own Node in these; install scripts would believe it.
  const outer = { npm_config_user_agent: undefined, npm_node_execpath: undefined, NODE: undefined };
  const how = { ...options, env: { ...outer, ONNXRUNTIME_NODE_INSTALL: "skip", ...env } };
  const cli = npmCli();
  if (cli !== undefined) return run(node, [cli, ...all], how);
  const windows = process.platform === "win32";
  return run(windows ? "npm.cmd" : "npm", all, { ...how, shell: windows });
}

/** npm's own script, so that it can be run with any Node and without a shell. */
function npmCli() {
  const onPath = findProgram("npm");
  const candidates = [process.env.npm_execpath, onPath && realpathSync(onPath)];
  return candidates.find((path) => path !== undefined && /npm-cli\.c?js$/.test(path));
}

/** Installs the packages when what is in node_modules is not what package-lock.json asks for. */
export async function ensurePackages() {
  if (installedAsLocked()) return;
  await step("Installing packages (npm ci)", () => runNpm(["ci"]));
}

function installedAsLocked() {
  const installed = readJson(join(root, "node_modules/.package-lock.json"))?.packages;
  if (installed === undefined) return false;
  const wanted = readJson(join(root, "package-lock.json"))?.packages ?? {};
  return Object.entries(wanted).every(
    ([path, entry]) =>
      path === "" || entry.optional === true || installed[path]?.version === entry.version,
  );
}

/**
 * Bundles into dist/ unless dist/ already holds the bundle of exactly these sources.
 * A production bundle also serves where a development bundle is enough, not the other way round.
 */
export async function ensureBuilt({ production = false } = {}) {
  const stampPath = join(root, "dist/.built.json");
  const hash = hashOf([
    "extension",
    "webview",
    "scripts/build.mjs",
    "scripts/l10n.mjs",
    "package-lock.json",
  ]);
  const stamp = readJson(stampPath);
  if (stamp?.hash === hash && (stamp.production || !production) && bundlesExist()) return hash;
  await step(production ? "Building (production)" : "Building", () =>
    run(process.execPath, ["scripts/build.mjs", ...(production ? ["--production"] : [])]),
  );
  writeFileSync(stampPath, JSON.stringify({ hash, production }));
  return hash;
}

function bundlesExist() {
  return ["extension.cjs", "engine.cjs", "cli.cjs"].every((f) => existsSync(join(root, "dist", f)));
}

/** One hash over names and contents of files and folders. */
export function hashOf(paths) {
  const hash = createHash("sha256");
  for (const path of paths.flatMap((path) => filesUnder(join(root, path)))) {
    const content = readFileSync(path);
    hash
      .update(`${relative(root, path).split(sep).join("/")}\0${content.length}\0`)
      .update(content);
  }
  return hash.digest("hex");
}

/** Every file under a path, sorted; a path that does not exist has none. */
export function filesUnder(path) {
  if (!existsSync(path)) return [];
  if (statSync(path).isFile()) return [path];
  return readdirSync(path, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) =>
      entry.isDirectory() || entry.isFile() ? filesUnder(join(path, entry.name)) : [],
    );
}

export function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}

export function makeFolder(path) {
  mkdirSync(path, { recursive: true });
  return path;
}

/** `--name value` and `--name=value` out of a list of arguments; `--flag` alone is true. */
export function parseArguments(args, withValue = []) {
  const options = {};
  const rest = [];
  for (let i = 0; i < args.length; i++) {
    const match = /^--([^=]+)(?:=(.*))?$/.exec(args[i]);
    if (!match) rest.push(args[i]);
    else if (match[2] !== undefined) options[match[1]] = match[2];
    else if (withValue.includes(match[1])) options[match[1]] = args[++i];
    else options[match[1]] = true;
  }
  return { options, rest };
}
