// `npm run bench:scan -- [COUNT] [RUNS]`: makes ten thousand adapter folders and prints how long looking through them
// takes and how long it blocks, in a process each. Recorded in test/bench/results, never a gate.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import * as os from "node:os";
import * as path from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { root } from "../unit/core/support.ts";
import { makeAdapterFolders } from "./adapterFolders.ts";
import type { ScanResult, Took } from "./scanResult.ts";

const count = Number(process.argv[2] ?? 10_000);
const runs = Number(process.argv[3] ?? 5);
const folder = await mkdtemp(path.join(os.tmpdir(), "graft-scan-"));
try {
  const adapters = path.join(folder, "adapters");
  await makeAdapterFolders(adapters, count);
  const script = path.join(folder, "scanOnce.mjs");
  await bundle(script);
  const load = os.loadavg();
  const results: ScanResult[] = [];
  for (let run = 0; run < runs; run++) {
    const { stdout } = await promisify(execFile)(process.execPath, [script, adapters]);
    results.push(JSON.parse(stdout) as ScanResult);
  }
  await save(results, load);
  console.log(table(results));
} finally {
  await rm(folder, { recursive: true });
}

/** As it ships: bundled, as the engine is. */
async function bundle(outfile: string): Promise<void> {
  const banner =
    "import{createRequire}from'node:module';const require=createRequire(import.meta.url);";
  await build({
    entryPoints: [path.join(import.meta.dirname, "scanOnce.ts")],
    outfile,
    ...{ bundle: true, minify: true, platform: "node", format: "esm", logLevel: "warning" },
    mainFields: ["module", "main"],
    banner: { js: banner },
    // Named by modules that the scan never calls.
    external: ["onnxruntime-node"],
    plugins: [
      {
        name: "no-runtime",
        setup({ onResolve, onLoad }) {
          onResolve({ filter: /^onnxruntime-node$/ }, () => ({ path: "ort", namespace: "none" }));
          const contents =
            "export const env = {}; export const InferenceSession = {}; export const Tensor = {};";
          onLoad({ filter: /.*/, namespace: "none" }, () => ({ contents }));
        },
      },
    ],
  });
}

async function save(results: readonly ScanResult[], load: readonly number[]): Promise<void> {
  const machine = {
    cpu: os.cpus()[0]?.model,
    cores: os.cpus().length,
    system: `${os.type()} ${os.release()}`,
    // Above the number of cores, other work took its share of these times.
    loadAverage: load,
  };
  const record = {
    made: new Date().toISOString(),
    machine,
    versions: { node: process.version },
    runs: results,
  };
  const place = path.join(root, "test/bench/results");
  await mkdir(place, { recursive: true });
  const text = `${JSON.stringify(record, null, 2)}\n`;
  await writeFile(path.join(place, `scan-${count}.json`), text);
}

function table(results: readonly ScanResult[]): string {
  const steps: [name: string, step: Exclude<keyof ScanResult, "adapters">][] = [
    ["find all, with configurations", "list"],
    ["read all weights' headers, behind the list", "weights"],
    ["find all again, nothing changed", "again"],
    ["look at one changed folder", "changed"],
    ["group and sort the view", "arrange"],
  ];
  // The best run: what other work of the machine adds is not the scan's.
  const best = (pick: (took: Took) => number, step: (typeof steps)[number][1]): string => {
    const value = Math.max(0, Math.min(...results.map((result) => pick(result[step]))));
    return value < 10 ? value.toFixed(1) : value.toFixed(0);
  };
  const rows = steps.map(([name, step]) =>
    [
      name,
      best(({ milliseconds }) => milliseconds, step),
      best(({ cpu }) => cpu, step),
      best(({ block }) => block, step),
    ].join(" | "),
  );
  const head = "what | ms | processor ms | longest block ms";
  return [head, "--- | --- | --- | ---", ...rows].map((row) => `| ${row} |`).join("\n");
}
