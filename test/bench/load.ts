// `npm run bench:load -- [MODEL...] [--keep]`: loads random-weight models of true size in each precision, a
// process each, and prints what that takes. Recorded in test/bench/results, never a gate.
import { execFile } from "node:child_process";
import { mkdir, rm, writeFile } from "node:fs/promises";
import * as os from "node:os";
import * as path from "node:path";
import { promisify } from "node:util";
import type { LoadBaseModelOptions } from "../../extension/core/baseModel.ts";
import { runtimeLabel } from "../../extension/core/session/ortSession.ts";
import { root } from "../unit/core/support.ts";
import type { LoadRequest, LoadResult } from "./loadRow.ts";
import { type Format, makeRandomModel, shapes } from "./makeRandomModel.ts";

const run = promisify(execFile);

const scratch = path.join(root, ".cache/bench-load");
const quantCache = path.join(scratch, "quantized");

/** What is measured of every model. */
const rows: readonly { label: string; format: Format; options: LoadBaseModelOptions }[] = [
  { label: "fp32", format: "fp32", options: {} },
  { label: "fp32 mapped", format: "fp32", options: { memory: "mapped" } },
  { label: "bf16", format: "bf16", options: {} },
  { label: "int8", format: "bf16", options: { precision: "int8", quantCacheDir: quantCache } },
  { label: "int4", format: "bf16", options: { precision: "int4", quantCacheDir: quantCache } },
];

const headings = [
  "model", "precision", "load s first / again", "making s", "peak GB", "estimate", "after run GB", "not mapped GB", "prefill tok/s", "with LoRA", "decode tok/s", "with LoRA",
]; // prettier-ignore

interface Row {
  readonly model: string;
  readonly label: string;
  /** Seconds with the file in the system's cache, and without where it can be dropped. */
  readonly warm: number;
  readonly cold: number | null;
  /** Of the first load: weights that are quantized are made then and cached. */
  readonly first: Pick<LoadResult, "seconds" | "steps" | "loaded">;
  readonly result: LoadResult;
}

const names = process.argv.slice(2).filter((each) => !each.startsWith("--"));
const keeps = process.argv.includes("--keep");
const all: Row[] = [];
const load = os.loadavg();

for (const model of names.length > 0 ? names : Object.keys(shapes)) {
  const own: Row[] = [];
  const folders = new Set<string>();
  for (const { label, format, options } of rows) {
    const folder = await makeRandomModel(model, format);
    folders.add(folder);
    own.push(await measure({ model, label, folder, options }));
    console.log(line(own.at(-1) as Row));
  }
  all.push(...own);
  await save(model, own);
  if (!keeps) for (const folder of folders) await rm(folder, { recursive: true });
}
await rm(scratch, { recursive: true, force: true });
console.log(`\n${table(all)}`);

async function measure(at: {
  model: string;
  label: string;
  folder: string;
  options: LoadBaseModelOptions;
}): Promise<Row> {
  const { model, label, folder, options } = at;
  const isDropped = await dropFromCache(path.join(folder, "model.safetensors"));
  const first = await one({ folder, options, adapter: path.join(scratch, model) });
  const result = await one({ folder, options, adapter: path.join(scratch, model) });
  const { seconds, steps, loaded } = first;
  return {
    model,
    label,
    warm: result.seconds,
    cold: isDropped ? seconds : null,
    first: { seconds, steps, loaded },
    result,
  };
}

async function one(request: LoadRequest): Promise<LoadResult> {
  const script = path.join(import.meta.dirname, "loadOne.ts");
  const args = ["--import", "tsx", script, JSON.stringify(request)];
  const { stdout } = await run(process.execPath, args, { cwd: root, maxBuffer: 1 << 24 });
  return JSON.parse(stdout) as LoadResult;
}

/** Has the system forget a file's pages, so that it is read from disk; false where that is not known. */
async function dropFromCache(file: string): Promise<boolean> {
  if (process.platform !== "linux") return false;
  return run("dd", [`if=${file}`, "iflag=nocache", "count=0"]).then(
    () => true,
    () => false,
  );
}

async function save(model: string, own: readonly Row[]): Promise<void> {
  const folder = path.join(root, "test/bench/results");
  await mkdir(folder, { recursive: true });
  const machine = {
    cpu: os.cpus()[0]?.model,
    cores: os.cpus().length,
    memory: os.totalmem(),
    system: `${os.type()} ${os.release()}`,
    // Above the number of cores, other work took its share of these times.
    loadAverage: load,
  };
  const versions = { node: process.version, runtime: runtimeLabel };
  const record = { made: new Date().toISOString(), machine, versions, rows: own };
  const file = path.join(folder, `load-${model}.json`);
  await writeFile(file, `${JSON.stringify(record, null, 2)}\n`);
}

function cells({ model, label, cold, warm, first, result }: Row): string[] {
  const { before, after, plain, adapted, estimate } = result;
  const gb = (bytes: number): string => (bytes / 1e9).toFixed(2);
  const anonymous = after.anonymous === null ? "–" : gb(after.anonymous - (before.anonymous ?? 0));
  return [
    model,
    label,
    `${cold?.toFixed(1) ?? "–"} / ${warm.toFixed(1)}`,
    (first.steps["Quantizing"] ?? 0).toFixed(1),
    gb(after.peak - before.rss),
    gb(estimate.peak),
    gb(after.rss - before.rss),
    anonymous,
    ...[plain.prefill, adapted.prefill].map((speed) => speed.toFixed(0)),
    ...[plain.decode, adapted.decode].map((speed) => speed.toFixed(1)),
  ];
}

function line(row: Row): string {
  return cells(row).join("  ");
}

function table(list: readonly Row[]): string {
  const show = (row: readonly string[]): string => `| ${row.join(" | ")} |`;
  return [show(headings), show(headings.map(() => "---")), ...list.map((row) => show(cells(row)))].join("\n"); // prettier-ignore
}
