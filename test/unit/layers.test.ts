import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { isBuiltin } from "node:module";
import * as path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Rooms of the core from left to right; those that stand together do not see each other. */
const rooms = [
  ["base"],
  ["hub"],
  ["safetensors"],
  ["gguf", "ortAdapter", "images"],
  ["checkpoint"],
  ["onnx"],
  ["models", "peft", "quant", "autodiff"],
  ["onnxExport", "analysis"],
  ["session"],
  ["tokens"],
  ["train"],
];

/** Packages and the zones that may import them; a package that is not listed has no place yet. */
const packages: Record<string, string[]> = {
  vscode: ["host"],
  "onnxruntime-node": ["core/session"],
  "@huggingface/tokenizers": ["core/tokens"],
  "@huggingface/jinja": ["core/tokens"],
  "@huggingface/hub": ["core/hub"],
  "@vscode/webview-ui-toolkit": ["webview/shared"],
  "@vscode/l10n": ["core", "engine", "host", "prompts", "protocol", "webview"],
  "@observablehq/plot": ["webview/shared"],
  "@tanstack/virtual-core": ["webview/shared"],
  "@cfworker/json-schema": ["prompts"],
  papaparse: ["prompts"],
  zod: ["core", "engine", "host"],
  "jsonc-parser": ["core", "host"],
  yaml: ["core", "host", "prompts"],
  yauzl: ["core"],
};

interface Import {
  /** Path from the root, with forward slashes. */
  readonly file: string;
  /** As written. */
  readonly specifier: string;
  readonly isType: boolean;
}

/** "core/onnx", "core" (its facade), "engine", "cli", "protocol", "prompts", "host" or "webview/inspector". */
function zoneOf(file: string): string {
  const [top, folder = "", ...rest] = file.split("/");
  if (top === "webview") return `webview/${folder}`;
  if (folder === "core") return rest.length > 1 ? `core/${rest[0]}` : "core";
  return ["engine", "cli", "protocol", "prompts"].includes(folder) && rest.length > 0
    ? folder
    : "host";
}

function isIn(zone: string, places: readonly string[]): boolean {
  return places.some((place) => zone === place || zone.startsWith(`${place}/`));
}

/** What is wrong with an import, or undefined. */
function problemOf({ file, specifier, isType }: Import): string | undefined {
  const zone = zoneOf(file);
  if (!specifier.startsWith(".")) return packageProblem(zone, specifier);
  const target = path.posix.join(path.posix.dirname(file), specifier);
  const other = zoneOf(target);
  if (zone === other) return undefined;
  const isErrors = target === "extension/core/base/errors.ts";
  switch (zone.split("/")[0]) {
    case "core":
      return coreProblem(zone, other);
    case "protocol":
      return isErrors ? undefined : `protocol must not see ${other}`;
    case "engine":
      return isIn(other, ["core", "protocol"]) ? undefined : `engine must not see ${other}`;
    case "cli":
      if (isIn(other, ["core", "engine", "prompts", "protocol"])) return undefined;
      return `cli must not see ${other}`;
    case "prompts":
      return other === "protocol" || isErrors ? undefined : `prompts must not see ${other}`;
    case "webview":
      if (isIn(other, ["protocol", "webview/shared"])) return undefined;
      return `${zone} must not see ${other}`;
    default:
      if (other === "protocol" || other === "prompts" || isErrors) return undefined;
      if (!isIn(other, ["core"])) return `the host must not see ${other}`;
      return isType ? undefined : "the host may import types of the core, no values";
  }
}

function coreProblem(zone: string, other: string): string | undefined {
  if (!isIn(other, ["core"])) return `the core must not see ${other}`;
  if (zone === "core") return undefined;
  const place = (name: string): number =>
    rooms.findIndex((together) => together.some((room) => name === `core/${room}`));
  if (place(zone) === -1) return `the room ${zone} has no place among the rooms`;
  if (other === "core") return `${zone} must not see the facade`;
  return place(other) < place(zone) ? undefined : `${other} is not to the left of ${zone}`;
}

function packageProblem(zone: string, specifier: string): string | undefined {
  if (isBuiltin(specifier)) return isIn(zone, ["webview"]) ? "a webview has no Node" : undefined;
  const name = /^(@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier;
  const places = packages[name];
  if (!places) return `the package ${name} has no place yet`;
  return isIn(zone, places) ? undefined : `${name} belongs in ${places.join(", ")}`;
}

/** `import … from`, `export … from`, a bare `import`, `import()` and `import type` in formatted code. */
const forms = [
  /^(?:import|export) (?<type>type )?[^"';]*? from "(?<specifier>[^"]+)"/gm,
  /^import "(?<specifier>[^"]+)"/gm,
  /\bimport\("(?<specifier>[^"]+)"\)/g,
];

function importsOf(file: string, text: string): Import[] {
  return forms.flatMap((form) =>
    [...text.matchAll(form)].map(({ groups = {} }) => ({
      file,
      specifier: groups["specifier"] ?? "",
      isType: groups["type"] === "type ",
    })),
  );
}

async function sources(folder: string): Promise<string[]> {
  const names = await readdir(path.join(root, folder), { recursive: true });
  return names
    .filter((name) => name.endsWith(".ts"))
    .map((name) => `${folder}/${name.split(path.sep).join("/")}`);
}

test("every import of extension/ and webview/ points to where it may", async () => {
  const files = [...(await sources("extension")), ...(await sources("webview"))];
  const imports: Import[] = [];
  for (const file of files) {
    imports.push(...importsOf(file, await readFile(path.join(root, file), "utf8")));
  }
  assert(files.length > 100 && imports.length > 300, "too few to be all");
  const problems = new Map<string, string>();
  for (const each of imports) {
    const problem = problemOf(each);
    if (problem !== undefined) problems.set(`${each.file} → ${each.specifier}`, problem);
  }
  const lines = [...problems].map(([what, problem]) => `${what}: ${problem}`);
  assert.equal(lines.length, 0, `\n${lines.join("\n")}`);
  const toolkit = imports.filter(({ specifier }) => specifier === "@vscode/webview-ui-toolkit");
  assert.equal(toolkit.length, 1, "one file alone imports the toolkit, so that a swap is small");
});

const samples: [file: string, code: string, isAllowed: boolean][] = [
  ["core/onnx/a.ts", 'import { a } from "../checkpoint/b.ts"', true],
  ["core/onnx/a.ts", 'import type { A } from "../session/b.ts"', false],
  ["core/onnx/a.ts", 'export { a } from "../peft/b.ts"', false],
  ["core/peft/tuner/a.ts", 'import { a } from "../../onnx/b.ts"', true],
  ["core/peft/a.ts", 'import type { A } from "../models/b.ts"', false],
  ["core/session/a.ts", 'import type { A } from "../models/b.ts"', true],
  ["core/tokens/a.ts", 'import { a } from "../peftModel.ts"', false],
  ["core/peftModel.ts", 'import { a } from "./tokens/b.ts"', true],
  ["core/peftModel.ts", 'import { a } from "../engine/b.ts"', false],
  ["core/attic/a.ts", 'import { a } from "../base/b.ts"', false],
  ["core/base/a.ts", 'import type { Uri } from "vscode"', false],
  ["core/base/a.ts", 'type A = import("vscode").Uri', false],
  ["core/tokens/a.ts", 'await import("onnxruntime-node")', false],
  ["core/session/a.ts", 'import * as ort from "onnxruntime-node"', true],
  ["core/base/a.ts", 'import _ from "lodash"', false],
  ["engine/a.ts", 'import { a } from "../protocol/b.ts"', true],
  ["engine/a.ts", 'import { a } from "../cli/b.ts"', false],
  ["engine/a.ts", 'import * as vscode from "vscode"', false],
  ["cli/a.ts", 'import { a } from "../engine/b.ts"', true],
  ["cli/a.ts", 'import { a } from "../session.ts"', false],
  ["prompts/a.ts", 'import { a } from "../protocol/b.ts"', true],
  ["prompts/a.ts", 'import * as vscode from "vscode"', false],
  ["prompts/a.ts", 'import { a } from "../views/b.ts"', false],
  ["cli/a.ts", 'import { a } from "../prompts/b.ts"', true],
  ["views/a.ts", 'import { a } from "../prompts/b.ts"', true],
  ["protocol/a.ts", 'import { a } from "../core/base/errors.ts"', true],
  ["protocol/a.ts", 'import type { A } from "../core/peft/b.ts"', false],
  ["extension.ts", 'import * as vscode from "vscode"', true],
  ["views/a.ts", 'import type { A } from "../core/peft/b.ts"', true],
  ["views/a.ts", 'import { type A } from "../core/peft/b.ts"', false],
  ["views/a.ts", 'import { a } from "../core/base/errors.ts"', true],
  ["commands/a.ts", 'import { a } from "../engine/b.ts"', false],
  ["../webview/inspector/a.ts", 'import { a } from "../../extension/protocol/b.ts"', true],
  ["../webview/inspector/a.ts", 'import { a } from "../shared/b.ts"', true],
  ["../webview/inspector/a.ts", 'import { a } from "../playground/b.ts"', false],
  ["../webview/inspector/a.ts", 'import { a } from "../../extension/core/base/errors.ts"', false],
  ["../webview/inspector/a.ts", 'import * as path from "node:path"', false],
  ["../webview/shared/a.ts", 'import { a } from "../inspector/b.ts"', false],
];

for (const [place, code, isAllowed] of samples) {
  test(`${place}: ${code} is ${isAllowed ? "allowed" : "refused"}`, () => {
    const [found] = importsOf(path.posix.join("extension", place), code);
    assert.equal(problemOf(found ?? assert.fail()) === undefined, isAllowed);
  });
}
