// `npm run bench -- [--shape NAME,…] [--only GROUP,…] [--set NAME,…] [--party PART,…] [--threads N] [--rounds N]
// [--steps N]`: Graft beside Python PEFT (GRAFT_PYTHON) and llama.cpp (node-llama-cpp, installed on demand under
// .cache) on random weights at true sizes. Prints Markdown, records in test/bench/results; never a gate.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import * as os from "node:os";
import * as path from "node:path";
import { parseArgs } from "node:util";
import { root } from "../unit/core/support.ts";
import { compare, type RunResult } from "./compare.ts";
import { type Group, groups } from "./groups.ts";
import { allThreads, labelOf, sets } from "./parties.ts";
import { configOf } from "./prepare.ts";
import { report } from "./report.ts";

const { values } = parseArgs({
  options: {
    shape: { type: "string", default: "smollm2-135m,qwen2.5-0.5b,llama-3.2-1b" },
    only: { type: "string", default: "decode,prefill" },
    set: { type: "string", default: "fp32,small" },
    party: { type: "string", default: "" },
    threads: { type: "string", default: "0" },
    rounds: { type: "string", default: "6" },
    steps: { type: "string", default: "8" },
  },
});
const list = (text: string): string[] => text.split(",").filter((each) => each !== "");
const options = {
  rounds: Number(values.rounds),
  steps: Number(values.steps),
  threads: Number(values.threads),
};
const threadCount = options.threads || allThreads;

for (const shape of list(values.shape)) {
  for (const set of list(values.set)) {
    for (const family of ["lora", "dora", "ia3"] as const) {
      const chosen = list(values.only).filter((name) => groupOf(name).family === family);
      if (chosen.length > 0) await run({ shape, set, chosen });
    }
  }
}

function groupOf(name: string): Group {
  const group = groups[name];
  if (group) return group;
  throw new Error(`Groups: ${Object.keys(groups).join(", ")}.`);
}

/** Groups whose adapters stand beside one another are one run, so that models are loaded once. */
async function run(at: { shape: string; set: string; chosen: readonly string[] }): Promise<void> {
  const { shape, set, chosen } = at;
  const parties = sets[set];
  if (!parties) throw new Error(`Sets: ${Object.keys(sets).join(", ")}.`);
  const wanted = list(values.party);
  const isWanted = (label: string): boolean =>
    wanted.length === 0 || wanted.some((part) => label.includes(part));
  const cases = chosen.flatMap((name) => groupOf(name).cases);
  const result = await compare(
    { shape, parties: parties.filter((party) => isWanted(labelOf(party))), cases },
    { ...options, threadCount },
  );
  const head = `## ${shape}, ${set}: ${chosen.join(", ")}, ${threadCount} threads`;
  console.log(`\n${head}\n\n${report(result, configOf(shape))}`);
  // Some parties alone are a trial.
  if (wanted.length === 0) await save(at, result);
}

/** A file for each shape and number of threads, a run replaces what it measured before. */
async function save(
  { shape, set, chosen }: { shape: string; set: string; chosen: readonly string[] },
  result: RunResult,
): Promise<void> {
  const folder = path.join(root, "test/bench/results");
  await mkdir(folder, { recursive: true });
  const file = path.join(folder, `bench-${shape}-${threadCount}-threads.json`);
  const text = await readFile(file, "utf8").catch(() => "{}");
  const machine = {
    cpu: os.cpus()[0]?.model,
    cores: os.cpus().length,
    memory: os.totalmem(),
    system: `${os.type()} ${os.release()}`,
    // Above the number of threads, other work took its share of these times.
    loadAverage: os.loadavg(),
  };
  const made = new Date().toISOString();
  const { machine: speed, ...rest } = result;
  const own = { made, machine: { ...machine, ...speed }, node: process.version, options, ...rest };
  const all = { ...(JSON.parse(text) as object), [`${set}: ${chosen.join(", ")}`]: own };
  await writeFile(file, `${JSON.stringify(all, null, 1)}\n`);
}
