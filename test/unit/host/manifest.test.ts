import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../../../", import.meta.url));

interface Manifest {
  contributes: {
    commands: { command: string; title: string; category: string }[];
    menus: Record<string, { command?: string; submenu?: string }[]>;
    submenus?: { id: string; label: string }[];
    keybindings: { command: string }[];
    views: Record<string, { id: string }[]>;
    viewsWelcome: { view: string; contents: string }[];
    configuration: { properties: Record<string, { default: unknown; scope?: string }> }[];
  };
  capabilities: { untrustedWorkspaces: { restrictedConfigurations: string[] } };
}

const texts = JSON.parse(await readFile(join(root, "package.nls.json"), "utf8")) as Record<
  string,
  string
>;
const manifestText = await readFile(join(root, "package.json"), "utf8");
const { contributes, capabilities } = JSON.parse(manifestText, (_, value: unknown) => {
  const key = typeof value === "string" ? /^%(.+)%$/.exec(value)?.[1] : undefined;
  return key === undefined ? value : (texts[key] ?? "");
}) as Manifest;
const declared = new Set(contributes.commands.map((c) => c.command));

/** The ids in commands/index.ts, read by running it over a `vscode` that holds nothing. */
async function listedCommands(): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), "graft-manifest-"));
  try {
    const outfile = join(folder, "commands.cjs");
    await build({
      entryPoints: [join(root, "extension/commands/index.ts")],
      outfile,
      bundle: true,
      platform: "node",
      format: "cjs",
      logLevel: "silent",
      plugins: [
        {
          name: "no-vscode",
          setup({ onResolve, onLoad }) {
            onResolve({ filter: /^vscode$/ }, () => ({ path: "vscode", namespace: "stub" }));
            const contents = "module.exports = new Proxy({}, { get: () => class {} });";
            onLoad({ filter: /.*/, namespace: "stub" }, () => ({ contents }));
          },
        },
      ],
    });
    const bundle = (await import(pathToFileURL(outfile).href)) as {
      default?: { commands: { id: string }[] };
      commands?: { id: string }[];
    };
    return (bundle.commands ?? bundle.default?.commands ?? []).map(({ id }) => id);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function assertNone(what: string, missing: string[]): void {
  assert.equal(missing.length, 0, `${what}: ${missing.join(", ")}`);
}

test("each command has its manifest entry, and the reverse", async () => {
  const listed = new Set(await listedCommands());
  assert(listed.size > 0);
  const only = (a: Set<string>, b: Set<string>): string[] => [...a].filter((id) => !b.has(id));
  assertNone("in commands/index.ts, missing in package.json", only(listed, declared));
  assertNone("in package.json, missing in commands/index.ts", only(declared, listed));
});

test("every command is in the category Graft and has a title", () => {
  const odd = contributes.commands.filter((c) => c.category !== "Graft" || c.title === "");
  assertNone(
    "without category or title",
    odd.map((c) => c.command),
  );
});

test("every text of the manifest is in package.nls.json, and nothing else is", () => {
  const used = [...manifestText.matchAll(/"%([^"]+)%"/g)].map((match) => match[1] ?? "");
  const known = Object.keys(texts);
  assertNone(
    "missing",
    [...new Set(used)].filter((key) => !known.includes(key)),
  );
  assertNone(
    "unused",
    known.filter((key) => !used.includes(key)),
  );
});

test("menus, keys and welcome texts name commands and views that exist", () => {
  const { menus, keybindings, viewsWelcome, views, submenus = [] } = contributes;
  const entries = [...Object.values(menus).flat(), ...keybindings];
  const used = entries.flatMap(({ command }) => command ?? []);
  const opened = Object.values(menus).flatMap((menu) =>
    menu.flatMap(({ submenu }) => submenu ?? []),
  );
  assert.deepEqual([...new Set(opened)].sort(), submenus.map(({ id }) => id).sort());
  assertNone(
    "submenu without entries",
    opened.filter((id) => (menus[id] ?? []).length === 0),
  );
  const links = viewsWelcome.flatMap(({ contents }) =>
    [...contents.matchAll(/command:([\w.]+)/g)].map((match) => match[1] ?? ""),
  );
  assertNone(
    "unknown",
    [...used, ...links].filter((id) => !declared.has(id)),
  );
  const known = new Set(
    Object.values(views)
      .flat()
      .map(({ id }) => id),
  );
  assertNone(
    "unknown view",
    viewsWelcome.map((w) => w.view).filter((id) => !known.has(id)),
  );
});

test("settings that name folders are restricted in untrusted workspaces", () => {
  const settings = contributes.configuration.flatMap((c) => Object.entries(c.properties));
  const folders = settings
    .filter(([name]) => /(Folders|draftModel|training\.folder)$/.test(name))
    .map(([name]) => name);
  assert.deepEqual(folders.sort(), [...capabilities.untrustedWorkspaces.restrictedConfigurations]);
  const open = settings.filter(([name, s]) => folders.includes(name) && !s.scope);
  assertNone(
    "without scope",
    open.map(([name]) => name),
  );
});
