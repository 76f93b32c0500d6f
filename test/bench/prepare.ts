// What a run needs on disk, made once under .cache (never committed): models of random weights, the same
// as GGUF, adapters, the peers' packages.
import { execFile } from "node:child_process";
import { mkdir, rename, stat, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { promisify } from "node:util";
import { loadBaseModel } from "../../extension/core/baseModel.ts";
import { convertAdapter } from "../../extension/core/convertAdapter.ts";
import { exportOnnx } from "../../extension/core/exportOnnx.ts";
import { root } from "../unit/core/support.ts";
import { type GgufType, writeBaseGguf } from "./baseGguf.ts";
import { type Config, makeRandomModel, shapes } from "./makeRandomModel.ts";
import { type AdapterKind, makeAdapter } from "./randomAdapter.ts";

const run = promisify(execFile);

export const cache = path.join(root, ".cache/bench");

/** Peers that are no dependency of this project; one folder each, so that one can be thrown away. */
const packages = {
  llama: [
    "node-llama-cpp@3.22.1",
    `@node-llama-cpp/${process.platform.replace("darwin", "mac").replace("win32", "win")}-${process.arch}${process.platform === "darwin" && process.arch === "arm64" ? "-metal" : ""}@3.22.1`,
  ],
  transformersJs: ["@huggingface/transformers@4.3.2"],
} as const;

export function configOf(shape: string): Config {
  const config = shapes[shape];
  if (config) return config;
  throw new Error(`Shapes: ${Object.keys(shapes).join(", ")}.`);
}

/** The folder that holds a peer's node_modules; installed with npm where it is not there. */
export async function installPeer(peer: keyof typeof packages): Promise<string> {
  const folder = path.join(cache, "peers", peer);
  if (await isThere(path.join(folder, "node_modules"))) return folder;
  console.error(`Installing ${packages[peer].join(" ")} in ${folder}`);
  const fresh = `${folder}.partial`;
  await mkdir(fresh, { recursive: true });
  await writeFile(path.join(fresh, "package.json"), '{ "private": true }\n');
  // Scripts would look for compilers. Of llama.cpp's binaries, one of several hundred MB, one is named.
  const optional = peer === "llama" ? ["--omit=optional"] : [];
  const flags = ["--ignore-scripts", ...optional, "--no-audit", "--no-fund"];
  await run("npm", ["install", ...flags, ...packages[peer]], { cwd: fresh });
  await rename(fresh, folder);
  return folder;
}

/** The model as GGUF. */
export async function baseGguf(shape: string, type: GgufType): Promise<string> {
  const file = path.join(cache, "gguf", `${shape}-${type}.gguf`);
  if (await isThere(file)) return file;
  console.error(`Writing ${path.basename(file)}`);
  await mkdir(path.dirname(file), { recursive: true });
  const folder = await makeRandomModel(shape, "fp32");
  await writeBaseGguf(folder, file, { config: configOf(shape), type });
  return file;
}

/** The model as Graft exports it to ONNX for transformers.js. */
export async function baseExport(shape: string): Promise<string> {
  const folder = path.join(cache, "exports", shape);
  if (await isThere(folder)) return folder;
  console.error(`Exporting ${shape}`);
  await mkdir(path.dirname(folder), { recursive: true });
  const base = await loadBaseModel(await makeRandomModel(shape, "fp32"), { memory: "mapped" });
  await exportOnnx(base, [], { folder, layout: "transformers.js" });
  await base.session.dispose();
  return folder;
}

/** An adapter for a shape, as PEFT keeps it. */
export async function adapterFolder(
  shape: string,
  name: string,
  kind: AdapterKind,
): Promise<string> {
  const base = await makeRandomModel(shape, "fp32");
  const folder = path.join(cache, "adapters", shape, name);
  return makeAdapter(folder, kind, { config: configOf(shape), base });
}

/** The same as llama.cpp's adapter, by Graft's own conversion. */
export async function adapterGguf(shape: string, folder: string): Promise<string> {
  const target = `${folder}.gguf`;
  if (await isThere(target)) return target;
  const base = await makeRandomModel(shape, "fp32");
  await convertAdapter({ path: folder, base, to: { kind: "gguf" }, target });
  return target;
}

async function isThere(file: string): Promise<boolean> {
  return (await stat(file).catch(() => null)) !== null;
}
