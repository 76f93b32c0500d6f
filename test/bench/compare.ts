// One run: all parties alive at once, asked in turn in shuffled rounds with a pause after each, so that what the
// machine does meanwhile meets all alike.
import { execFile } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { seededRandom } from "../../extension/core/base/random.ts";
import { adapterKinds, adaptersOf, type Case } from "./groups.ts";
import type { MachineSpeed } from "./machineSpeed.ts";
import { labelOf, loadOf, openParty, type PartyName } from "./parties.ts";
import type { Peer } from "./peer.ts";
import { configOf } from "./prepare.ts";
import type { Memory } from "./processMemory.ts";
import { shuffled, summarize, type Summary } from "./statistics.ts";

export interface RunOptions {
  readonly rounds: number;
  /** Steps of a burst; the first is dropped, caches are cold then. */
  readonly steps: number;
  /** 0: what each party takes by itself. */
  readonly threads: number;
}

export interface CaseResult {
  readonly party: string;
  readonly case: string;
  readonly kind: Case["kind"];
  readonly context: number;
  readonly batch: number;
  /** Milliseconds a step, or a prompt. */
  readonly milliseconds: Summary;
}

export interface PartyResult {
  readonly party: string;
  readonly version: string;
  readonly loadMilliseconds: number;
  /** Of weights. */
  readonly bytes: number;
  readonly memory: Memory;
  /** First tokens with the first adapter: parties of full precision must agree. */
  readonly greedy: readonly number[];
}

export interface RunResult {
  readonly parties: readonly PartyResult[];
  readonly cases: readonly CaseResult[];
  /** What a party could not do, in its words. */
  readonly refused: readonly string[];
  /** The best seen before and after. */
  readonly machine: MachineSpeed;
}

export interface Opened {
  readonly label: string;
  readonly peer: Peer;
  readonly load: { milliseconds: number; version: string; bytes: number };
}

interface Task {
  readonly party: Opened;
  readonly own: Case;
  readonly samples: number[];
}

const restMilliseconds = 100;
const greedyTokens = 8;
/** Tokens of an answer that repeats its prompt. */
const recited = 96;

export async function compare(
  {
    shape,
    parties,
    cases,
  }: { shape: string; parties: readonly PartyName[]; cases: readonly Case[] },
  options: RunOptions & { threadCount: number },
): Promise<RunResult> {
  const before = await machineSpeed(options.threadCount);
  const opened: Opened[] = [];
  const refused: string[] = [];
  try {
    for (const party of parties) {
      // A party that is not installed is told, the others are measured.
      const own = openLoaded(party, { shape, cases, ...options });
      await own.then(
        (each) => opened.push(each),
        (error: unknown) => refused.push(`${labelOf(party)}: ${messageOf(error)}`),
      );
    }
    const prompts = promptsOf(configOf(shape).vocab_size);
    const greedy = await firstTokens(opened, cases, prompts);
    const tasks = await begin(opened, cases, { prompts, refused });
    await rounds(tasks, prompts, options);
    const memory = await Promise.all(opened.map(({ peer }) => peer.ask({ do: "memory" })));
    const after = await machineSpeed(options.threadCount);
    return {
      parties: opened.map(({ label, load }, i) => ({
        party: label,
        version: load.version,
        loadMilliseconds: load.milliseconds,
        bytes: load.bytes,
        memory: memory[i]?.memory as Memory,
        greedy: greedy[i] as readonly number[],
      })),
      cases: tasks.map(resultOf),
      refused,
      machine: {
        threads: before.threads,
        bandwidth: Math.max(before.bandwidth, after.bandwidth),
        arithmetic: Math.max(before.arithmetic, after.arithmetic),
      },
    };
  } finally {
    await Promise.all(opened.map(({ peer }) => peer.end()));
  }
}

export async function openLoaded(
  party: PartyName,
  at: { shape: string; cases: readonly Case[]; threads: number },
): Promise<Opened> {
  const names = adaptersOf(at.cases);
  const adapters = Object.fromEntries(
    Object.entries(adapterKinds).filter(([name]) => names.includes(name)),
  );
  const ask = await loadOf(party, at.shape, { adapters, threads: at.threads });
  const peer = await openParty(party);
  const {
    samples,
    version = "",
    bytes = 0,
  } = await peer.ask(ask).catch(async (error: unknown) => {
    await peer.end();
    throw error;
  });
  return { label: labelOf(party), peer, load: { milliseconds: samples[0] ?? 0, version, bytes } };
}

function messageOf(error: unknown): string {
  return (error as Error).message.trim().replaceAll("\n", " ").slice(0, 600);
}

/** Prompts of any length, another for each number; the same for all parties. */
function promptsOf(vocabulary: number): (length: number, number: number) => number[] {
  return (length, number) => {
    const random = seededRandom(number);
    return Array.from({ length }, () => Math.floor(random() * vocabulary));
  };
}

type Prompts = ReturnType<typeof promptsOf>;

async function firstTokens(
  opened: readonly Opened[],
  cases: readonly Case[],
  prompts: Prompts,
): Promise<(readonly number[])[]> {
  const use = (cases.find((each) => each.use.adapters.length > 0) ?? cases[0])?.use;
  const all: (readonly number[])[] = [];
  for (const { peer } of opened) {
    const start = { key: "greedy", prompt: prompts(24, 1), batch: 1, use: use ?? { adapters: [] } };
    const own = peer
      .ask({ do: "start", ...start })
      .then(() => peer.ask({ do: "steps", key: "greedy", count: greedyTokens }));
    // A party without such adapters has none; `begin` tells it with each case.
    const { ids = [] } = await own.catch(() => ({ ids: [] }));
    all.push(ids);
  }
  return all;
}

/** Reads the prompts of what is decoded, and runs each thing once: what a party cannot do is told. */
async function begin(
  opened: readonly Opened[],
  cases: readonly Case[],
  { prompts, refused }: { prompts: Prompts; refused: string[] },
): Promise<Task[]> {
  const tasks: Task[] = [];
  for (const party of opened) {
    for (const own of cases) {
      const { name: key, batch, use, context, kind } = own;
      const task = { party, own, samples: [] };
      try {
        if (kind === "decode") {
          const start = { key, prompt: prompts(context, 2), batch, use };
          await party.peer.ask({ do: "start", ...start });
        }
        await sample(task, { prompts, round: -1, steps: 1 });
        tasks.push(task);
      } catch (error) {
        refused.push(`${party.label}, ${key}: ${messageOf(error)}`);
      }
    }
  }
  return tasks;
}

async function rounds(
  tasks: readonly Task[],
  prompts: Prompts,
  options: RunOptions,
): Promise<void> {
  const random = seededRandom(Date.now());
  for (let round = 0; round < options.rounds; round++) {
    // A step is short and varies: it is measured in every round, all else in every second one.
    const now = tasks.filter(({ own }) => own.kind === "decode" || round % 2 === 0);
    for (const task of shuffled(now, random)) {
      task.samples.push(...(await sample(task, { prompts, round, steps: options.steps })));
      await pause(restMilliseconds);
    }
  }
}

/** Milliseconds of one turn. */
async function sample(
  { party: { peer }, own }: Task,
  { prompts, round, steps }: { prompts: Prompts; round: number; steps: number },
): Promise<readonly number[]> {
  const { name: key, use, context, kind } = own;
  const [first, second] = use.adapters;
  switch (kind) {
    case "decode":
      return (await peer.ask({ do: "steps", key, count: steps + 1 })).samples.slice(1);
    case "prefill": {
      // A prompt that was not read before: what a party keeps of the last one must not count.
      const prompt = prompts(context, 100 + round);
      return (await peer.ask({ do: "prefill", prompt, use })).samples;
    }
    case "plain":
    case "ahead": {
      const prompt = prompts(context, 100 + round);
      const [changed] = prompts(1, 200 + round);
      const text = prompt.slice(0, recited).map((id, i) => (i % 20 === 19 ? (changed ?? 0) : id));
      return (await peer.ask({ do: "recite", prompt, text, isAhead: kind === "ahead", use }))
        .samples;
    }
    case "attach":
      return (await peer.ask({ do: "attach", adapter: first?.name ?? "" })).samples;
    case "inspect":
      return (await peer.ask({ do: "inspect", adapter: first?.name ?? "" })).samples;
    case "swap": {
      const samples: number[] = [];
      for (const each of use.adapters) {
        const one = { adapters: [{ name: each.name, weight: 1 }] };
        samples.push(...(await peer.ask({ do: "activate", use: one })).samples);
      }
      return samples;
    }
    case "weigh": {
      const weight = (round + 2) / 100;
      const adapters = [first, second].flatMap((each) => (each ? [{ ...each, weight }] : []));
      return (await peer.ask({ do: "activate", use: { adapters } })).samples;
    }
    default:
      return kind satisfies never;
  }
}

function resultOf({ party, own, samples }: Task): CaseResult {
  const { name, kind, context, batch } = own;
  return { party: party.label, case: name, kind, context, batch, milliseconds: summarize(samples) };
}

export async function machineSpeed(threads: number): Promise<MachineSpeed> {
  const script = new URL("machineSpeed.ts", import.meta.url).pathname;
  const args = ["--import", "tsx", script, String(threads)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as MachineSpeed;
}
