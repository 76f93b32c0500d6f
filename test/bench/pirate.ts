// `npm run bench:pirate -- [--rounds 3] [--trainer transformers]`: the run that makes a pirate of the sample base, in
// Graft and as the job that it is exported as (PEFT), in turn: how far their losses are apart, and what they take.
import { spawn, type StdioOptions } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { parseArgs } from "node:util";
import { exportJob } from "../../extension/engine/training/export/exportJob.ts";
import { createRun } from "../../extension/engine/training/runFolder.ts";
import { readEvents } from "../../extension/engine/training/runLog.ts";
import { pirateRun } from "../support/pirateRun.ts";
import { root } from "../unit/core/support.ts";
import { table } from "./report.ts";
import { summarize } from "./statistics.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    trainer: { type: "string", default: "transformers" },
    threads: { type: "string", default: "1" },
    python: { type: "string", default: process.env["GRAFT_PYTHON"] ?? "python3" },
  },
});

/** A run's losses, and seconds from its first step to its last. */
interface Curve {
  readonly losses: readonly number[];
  readonly seconds: number;
}

const place = mkdtempSync(path.join(tmpdir(), "graft-pirate-"));

/** Each in a process of its own, bound to so many processors, which are its threads. */
async function finish(command: string, args: readonly string[]): Promise<void> {
  const own = Array.from({ length: Number(values.threads) }, (_, i) => i).join(",");
  const env = { ...process.env, HF_HUB_OFFLINE: "1", OMP_NUM_THREADS: values.threads };
  const stdio: StdioOptions = ["ignore", "ignore", "inherit"];
  const child = spawn("taskset", ["--cpu-list", own, command, ...args], { cwd: root, env, stdio });
  const [code] = (await once(child, "close")) as [number];
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}`);
}

async function inGraft(): Promise<Curve> {
  const folder = await createRun(place, pirateRun);
  const main = path.join(root, "extension/engine/main.ts");
  await finish(process.execPath, ["--import", "tsx", main, folder]);
  const losses: number[] = [];
  const times: number[] = [];
  for await (const event of readEvents(folder)) {
    if (event.kind !== "step") continue;
    losses.push(event.loss);
    times.push(Date.parse(event.at) / 1000);
  }
  return { losses, seconds: (times.at(-1) ?? NaN) - (times[0] ?? NaN) };
}

async function inPeft(job: string, round: number): Promise<Curve> {
  const output = path.join(place, `output-${round}`);
  const args = ["--output", output, "--trainer", values.trainer];
  await finish(values.python, [path.join(job, "train.py"), ...args]);
  const lines = readFileSync(path.join(output, "log.jsonl"), "utf8").trim().split("\n");
  const steps = lines.map((line) => JSON.parse(line) as { loss: number; seconds: number });
  const times = steps.map(({ seconds }) => seconds);
  return {
    losses: steps.map(({ loss }) => loss),
    seconds: (times.at(-1) ?? NaN) - (times[0] ?? NaN),
  };
}

try {
  const job = path.join(place, "job");
  const work = { onProgress: () => undefined, signal: new AbortController().signal };
  await exportJob({ config: pirateRun, folder: job }, work);
  const graft: Curve[] = [];
  const peft: Curve[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    graft.push(await inGraft());
    peft.push(await inPeft(job, round));
  }
  const [one, other] = [graft[0]?.losses ?? [], peft[0]?.losses ?? []];
  const apart = one.map((loss, i) => Math.abs(loss - (other[i] ?? NaN)));
  const seconds = (curves: readonly Curve[]): { median: number; min: number } =>
    summarize(curves.map((curve) => curve.seconds));
  const row = (name: string, curves: readonly Curve[]): string[] => {
    const { median, min } = seconds(curves);
    const losses = curves[0]?.losses ?? [];
    return [name, `${median.toFixed(2)} (${min.toFixed(2)})`, losses.at(-1)?.toFixed(6) ?? ""];
  };
  const head = ["party", `seconds of ${one.length - 1} steps, median (min)`, "last loss"];
  console.log(table(head, [row("Graft", graft), row("PEFT", peft)]));
  const ratio = (of: "median" | "min"): string =>
    (seconds(peft)[of] / seconds(graft)[of]).toFixed(2);
  console.log(
    `\nPEFT's time ÷ Graft's: medians ${ratio("median")}, minima ${ratio("min")}. Losses differ by at most ` +
      `${Math.max(...apart.slice(0, 10)).toExponential(1)} in 10 steps, ${Math.max(...apart).toExponential(1)} in all.`,
  );
  if (!(Math.max(...apart.slice(0, 10)) < 1e-4)) {
    throw new Error("The parties do not learn the same.");
  }
} finally {
  rmSync(place, { recursive: true, force: true });
}
