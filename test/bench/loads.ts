import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { openLoaded } from "./compare.ts";
import { labelOf, loadOf, type PartyName } from "./parties.ts";
import type { Memory } from "./processMemory.ts";
import { table } from "./report.ts";
import { quantile } from "./statistics.ts";

/** Loading a base up to the first token of an answer to eight; the start of Node or Python is left out. */
export interface LoadRow {
  readonly party: string;
  /** Milliseconds with the model's file out of the system's cache; null where it cannot be dropped. */
  readonly cold: number | null;
  /** The same, the file in the cache: median of three processes. */
  readonly warm: number;
  readonly memory: Memory;
  readonly bytes: number;
}

const prompt = [11, 12, 13, 14, 15, 16, 17, 18];

/** Each party in processes of its own, one after the other. */
export async function measureLoads(
  shape: string,
  parties: readonly PartyName[],
  threads: number,
): Promise<LoadRow[]> {
  const rows: LoadRow[] = [];
  for (const party of parties) {
    const { model } = await loadOf(party, shape, { adapters: {}, threads });
    // What loading makes (weights in fewer bits) is there then.
    await one(party, { shape, threads });
    const file = model.endsWith(".gguf") ? model : `${model}/model.safetensors`;
    const isDropped = await dropFromCache(file);
    const cold = await one(party, { shape, threads });
    const warm = [];
    for (let i = 0; i < 3; i++) warm.push(await one(party, { shape, threads }));
    rows.push({
      party: labelOf(party),
      cold: isDropped ? cold.milliseconds : null,
      warm: quantile(
        warm.map((each) => each.milliseconds),
        0.5,
      ),
      memory: cold.memory,
      bytes: cold.bytes,
    });
  }
  return rows;
}

async function one(
  party: PartyName,
  at: { shape: string; threads: number },
): Promise<{ milliseconds: number; memory: Memory; bytes: number }> {
  const { peer, load } = await openLoaded(party, { ...at, cases: [] });
  try {
    const { samples } = await peer.ask({ do: "prefill", prompt, use: { adapters: [] } });
    const { memory } = await peer.ask({ do: "memory" });
    return {
      milliseconds: load.milliseconds + (samples[0] ?? NaN),
      memory: memory as Memory,
      bytes: load.bytes,
    };
  } finally {
    await peer.end();
  }
}

/** Has the system forget a file's pages; false where that is not known. */
async function dropFromCache(file: string): Promise<boolean> {
  if (process.platform !== "linux") return false;
  return promisify(execFile)("dd", [`if=${file}`, "iflag=nocache", "count=0"]).then(
    () => true,
    () => false,
  );
}

export function reportLoads(rows: readonly LoadRow[]): string {
  const head = ["party", "cold s", "warm s", "weights GB", "resident GB", "peak GB", "not mapped GB"]; // prettier-ignore
  const seconds = (milliseconds: number | null): string =>
    milliseconds === null ? "–" : (milliseconds / 1000).toFixed(2);
  return table(
    head,
    rows.map(({ party, cold, warm, memory, bytes }) => [
      party,
      seconds(cold),
      seconds(warm),
      ...[bytes, memory.rss, memory.peak, memory.anonymous ?? NaN].map((each) =>
        (each / 1e9).toFixed(2),
      ),
    ]),
  );
}
