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
import { type LoadRow, measureLoads, reportLoads } from "./loads.ts";
import { allThreads, labelOf, type PartyName, sets } from "./parties.ts";
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
const wanted = list(values.party);
const threadCount = options.threads || allThreads;

for (const shape of list(values.shape)) {
  for (const set of list(values.set)) {
    if (list(values.only).includes("load")) await runLoads(shape, set);
    for (const family of ["lora", "dora", "ia3"] as const) {
      const names = list(values.only).filter((name) => name !== "load");
      const chosen = names.filter((name) => groupOf(name).family === family);
      if (chosen.length > 0) await run({ shape, set, chosen });
    }
  }
}

function groupOf(name: string): Group {
  const group = groups[name];
  if (group) return group;
  throw new Error(`Groups: load, ${Object.keys(groups).join(", ")}.`);
}

/** The parties of a set that are asked for. */
function partiesOf(set: string): PartyName[] {
  const parties = sets[set];
  if (!parties) throw new Error(`Sets: ${Object.keys(sets).join(", ")}.`);
  const isWanted = (label: string): boolean =>
    wanted.length === 0 || wanted.some((part) => label.includes(part));
  return parties.filter((party) => isWanted(labelOf(party)));
}

async function runLoads(shape: string, set: string): Promise<void> {
  const loads = await measureLoads(shape, partiesOf(set), options.threads);
  console.log(`\n## ${shape}, ${set}: load, ${threadCount} threads\n\n${reportLoads(loads)}`);
  if (wanted.length === 0) await save({ shape, name: `${set}: load` }, { loads });
}

/** Groups whose adapters stand beside one another are one run, so that models are loaded once. */
async function run(at: { shape: string; set: string; chosen: readonly string[] }): Promise<void> {
  const { shape, set, chosen } = at;
  const cases = chosen.flatMap((name) => groupOf(name).cases);
  const result = await compare(
    { shape, parties: partiesOf(set), cases },
    { ...options, threadCount },
  );
  const name = `${set}: ${chosen.join(", ")}`;
  const head = `## ${shape}, ${name}, ${threadCount} threads`;
  console.log(`\n${head}\n\n${report(result, configOf(shape))}`);
  // Some parties alone are a trial.
  if (wanted.length === 0) await save({ shape, name }, result);
}

/** A file for each shape and number of threads, a run replaces what it measured before. */
async function save(
  { shape, name }: { shape: string; name: string },
  result: RunResult | { loads: readonly LoadRow[] },
): Promise<void> {
  const folder = path.join(root, "test/bench/results");
  await mkdir(folder, { recursive: true });
  const file = path.join(folder, `bench-${shape}-${threadCount}-threads.json`);
  const text = await readFile(file, "utf8").catch(() => "{}");
  const computer = {
    cpu: os.cpus()[0]?.model,
    cores: os.cpus().length,
    memory: os.totalmem(),
    system: `${os.type()} ${os.release()}`,
    // Above the number of threads, other work took its share of these times.
    loadAverage: os.loadavg(),
  };
  const made = new Date().toISOString();
  const own = { made, computer, node: process.version, options, ...result };
  const all = { ...(JSON.parse(text) as object), [name]: own };
  await writeFile(file, `${JSON.stringify(all, null, 1)}\n`);
}
