// `npm run bench:training -- --batch 2x128,4x128`: whole training steps (forward, backward, clipping, AdamW) of a LoRA in
// Graft and in PEFT, from the same weights on the same texts, in turn; their losses must be the same.
import { parseArgs } from "node:util";
import * as path from "node:path";
import { root } from "../unit/core/support.ts";
import { makeRandomModel } from "./makeRandomModel.ts";
import { Peer } from "./peer.ts";
import { cache, configOf } from "./prepare.ts";
import { makeAdapter } from "./randomAdapter.ts";
import { table } from "./report.ts";
import { summarize } from "./statistics.ts";

const { values } = parseArgs({
  options: {
    shape: { type: "string", default: "smollm2-135m" },
    /** Rows x tokens of a batch. */
    batch: { type: "string", default: "2x128,4x128" },
    targets: { type: "string", default: "q_proj,v_proj" },
    threads: { type: "string", default: "0" },
    /** Turns of each party, the first of which is dropped, and steps of a turn. */
    rounds: { type: "string", default: "5" },
    steps: { type: "string", default: "2" },
    python: { type: "string", default: process.env["GRAFT_PYTHON"] ?? "python3" },
  },
});

const learningRate = 1e-4;

interface Measured {
  readonly milliseconds: number[];
  readonly processor: number[];
  readonly losses: number[];
  peak: number;
}

async function openParties(): Promise<Record<"graft" | "peft", Peer>> {
  const base = await makeRandomModel(values.shape, "fp32");
  const targets = values.targets.split(",");
  const kind = { method: "lora", rank: 8, seed: 7, targets } as const;
  const adapter = await makeAdapter(
    path.join(cache, "adapters", values.shape, `training-${targets.join("-")}`),
    kind,
    { config: configOf(values.shape), base },
  );
  const peers = path.join(root, "test/bench/peers");
  const graft = Peer.open(process.execPath, [
    "--import",
    "tsx",
    path.join(peers, "trainingGraft.ts"),
  ]);
  const peft = Peer.open(values.python, [path.join(peers, "pythonPeft.py")]);
  for (const peer of [graft, peft]) {
    const threads = Number(values.threads);
    await peer.ask({ do: "train", model: base, adapter, threads, learningRate });
  }
  return { graft, peft };
}

/** Texts that are the same in every run. */
function texts(rows: number, length: number): number[][] {
  const { vocab_size: size } = configOf(values.shape);
  const id = (row: number, i: number): number => ((row * length + i) * 7919 + 13) % size;
  return Array.from({ length: rows }, (_, row) => Array.from({ length }, (_, i) => id(row, i)));
}

async function measure(rows: number, length: number): Promise<void> {
  const peers = await openParties();
  const found = { graft: nothing(), peft: nothing() };
  try {
    const ids = texts(rows, length);
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const party of round % 2 === 0
        ? (["graft", "peft"] as const)
        : (["peft", "graft"] as const)) {
        const answer = await peers[party].ask({ do: "learn", count: Number(values.steps), ids });
        const own = found[party];
        own.losses.push(...(answer.losses ?? []));
        if (round === 0) continue;
        own.milliseconds.push(...answer.samples);
        own.processor.push(...(answer.processor ?? []));
      }
    }
    for (const party of ["graft", "peft"] as const) {
      found[party].peak = (await peers[party].ask({ do: "memory" })).memory?.peak ?? NaN;
    }
  } finally {
    await Promise.all([peers.graft.end(), peers.peft.end()]);
  }
  tell(found, { rows, length });
}

function nothing(): Measured {
  return { milliseconds: [], processor: [], losses: [], peak: NaN };
}

function tell(
  { graft, peft }: Record<"graft" | "peft", Measured>,
  { rows, length }: { rows: number; length: number },
): void {
  const apart = Math.max(
    ...graft.losses.map((loss, i) => Math.abs(loss - (peft.losses[i] ?? NaN))),
  );
  const row = (name: string, { milliseconds, processor, peak, losses }: Measured): string[] => {
    const { median, min } = summarize(milliseconds);
    const busy = summarize(processor);
    const speed = ((rows * length) / median) * 1000;
    return [
      name,
      `${median.toFixed(0)} (${min.toFixed(0)})`,
      `${busy.median.toFixed(0)} (${busy.min.toFixed(0)})`,
      speed.toFixed(0),
      (peak / 1e6).toFixed(0),
      losses.at(-1)?.toFixed(5) ?? "",
    ];
  };
  const head = [
    "party",
    "ms a step, median (min)",
    "processor ms",
    "tok/s",
    "peak MB",
    "last loss",
  ];
  const ratio = (of: (own: Measured) => number): string => (of(peft) / of(graft)).toFixed(2);
  console.log(
    `\n${values.shape}, LoRA r 8 on ${values.targets}, ${rows} x ${length}, threads ${values.threads}\n`,
  );
  console.log(table(head, [row("Graft", graft), row("PEFT", peft)]));
  console.log(
    `\nPEFT's time ÷ Graft's: medians ${ratio((own) => summarize(own.milliseconds).median)}, ` +
      `minima ${ratio((own) => summarize(own.milliseconds).min)}, ` +
      `processor ${ratio((own) => summarize(own.processor).median)} ` +
      `(minima ${ratio((own) => summarize(own.processor).min)}); ` +
      `peak memory ${ratio((own) => own.peak)}; ` +
      `losses of ${graft.losses.length} steps differ by at most ${apart.toExponential(1)}.`,
  );
  if (!(apart < 1e-3)) throw new Error("The parties do not learn the same.");
}

for (const each of values.batch.split(",")) {
  const [rows = 0, length = 0] = each.split("x").map(Number);
  await measure(rows, length);
}
