// How long the extension takes to be there: loading its bundle and `activate`, over an editor that does
// nothing, in fresh processes. `npm run build -- --production`, then `npm run bench:activation`.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const runs = 15;
const bundle = fileURLToPath(new URL("../../dist/extension.cjs", import.meta.url));
const root = fileURLToPath(new URL("../../", import.meta.url));

/** What the real `vscode` has: reading a bundle may go through all of it. */
const types = new URL("../../node_modules/@types/vscode/index.d.ts", import.meta.url);
const members = [
  ...readFileSync(types, "utf8").matchAll(
    /^\t(?:export )?(?:abstract )?(?:class|enum|const|let|namespace|function) (\w+)/gm,
  ),
].map(([, name]) => name);

/**
 * Runs in each process: every part of `vscode` is there, can be called and made, and gives the same. Node's
 * own modules are read before the clock starts: an extension host has long had them.
 */
const script = `
const Module = require("node:module");
const known = {
  textDocuments: [], workspaceFolders: [], visibleTextEditors: [], visible: false, isTrusted: true, bundle: undefined,
  getConfiguration: () => ({ get: (_, otherwise) => otherwise, inspect: () => undefined }),
};
const nothing = new Proxy(function () {}, {
  get: (_, key) => Object.hasOwn(known, key) ? known[key] : key === Symbol.toPrimitive ? () => "" : key === "then" ? undefined : key === Symbol.iterator ? () => [][Symbol.iterator]() : nothing,
  apply: () => nothing,
  construct: (_, __, made) => Object.create(made.prototype),
  set: () => true,
});
const vscode = Object.fromEntries(${JSON.stringify(members)}.map((name) => [name, nothing]));
const load = Module._load;
Module._load = (name, ...rest) => (name === "vscode" ? vscode : load(name, ...rest));
for (const name of ["buffer", "child_process", "crypto", "fs/promises", "os", "url"]) require("node:" + name);
const memento = { get: (_, otherwise) => otherwise, update: async () => undefined, keys: () => [] };
const context = {
  subscriptions: [], workspaceState: memento, globalState: memento, extensionUri: nothing,
  globalStorageUri: nothing, secrets: nothing, extension: nothing, environmentVariableCollection: nothing,
  extensionPath: ${JSON.stringify(root)}, asAbsolutePath: (path) => ${JSON.stringify(root)} + path,
};
const cpu = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1000; };
const [started, startedCpu] = [performance.now(), cpu()];
const extension = require(${JSON.stringify(bundle)});
const loaded = performance.now();
extension.activate(context);
const [active, activeCpu] = [performance.now(), cpu()];
console.log(JSON.stringify([loaded - started, active - loaded, activeCpu - startedCpu]));
process.exit(0);
`;

const figures = Array.from({ length: runs }, () => {
  const text = execFileSync(process.execPath, ["-e", script], { encoding: "utf8", maxBuffer: 1e8 });
  return JSON.parse(text.trim().split("\n").at(-1) ?? "[]") as [
    load: number,
    activate: number,
    processor: number,
  ];
});

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

const [load, activate, processor] = [0, 1, 2].map((at) =>
  median(figures.map((each) => each[at] ?? NaN)).toFixed(1),
);
const least = Math.min(...figures.map(([a, b]) => a + b)).toFixed(1);
// On a busy machine the clock counts what others do; the processor's time does not.
console.log(
  `bundle ${load} ms, activate ${activate} ms, least together ${least} ms; processor ${processor} ms (median of ${runs})`,
);
