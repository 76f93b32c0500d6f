import { createInterface } from "node:readline";
import { processMemory } from "../processMemory.ts";
import type { Answer, Ask } from "../protocol.ts";

type Load = Extract<Ask, { do: "load" }>;
export type Start = Extract<Ask, { do: "start" }>;
export type Prefill = Extract<Ask, { do: "prefill" }>;
export type Asked<K extends Ask["do"]> = Extract<Ask, { do: K }>;

/** What a party can be asked; what it lacks is answered by saying so. */
export interface Party {
  load?(ask: Load): Promise<Answer>;
  start?(ask: Start): Promise<Answer>;
  steps?(ask: Asked<"steps">): Promise<Answer>;
  prefill?(ask: Prefill): Promise<Answer>;
  train?(ask: Asked<"train">): Promise<Answer>;
  learn?(ask: Asked<"learn">): Promise<Answer>;
  recite?(ask: Asked<"recite">): Promise<Answer>;
  attach?(ask: Asked<"attach">): Promise<Answer>;
  inspect?(ask: Asked<"inspect">): Promise<Answer>;
  activate?(ask: Asked<"activate">): Promise<Answer>;
}

/** Answers requests from stdin until "end" or its close. */
export async function serve(party: Party): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const ask = JSON.parse(line) as Ask;
    if (ask.do === "end") break;
    const answer = await answerTo(party, ask).catch((error: unknown) => ({
      samples: [],
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    }));
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  process.exit(0);
}

async function answerTo(party: Party, ask: Exclude<Ask, { do: "end" }>): Promise<Answer> {
  switch (ask.do) {
    case "load":
      return party.load ? party.load(ask) : unable;
    case "start":
      return party.start ? party.start(ask) : unable;
    case "steps":
      return party.steps ? party.steps(ask) : unable;
    case "prefill":
      return party.prefill ? party.prefill(ask) : unable;
    case "recite":
      return party.recite ? party.recite(ask) : unable;
    case "attach":
      return party.attach ? party.attach(ask) : unable;
    case "inspect":
      return party.inspect ? party.inspect(ask) : unable;
    case "activate":
      return party.activate ? party.activate(ask) : unable;
    case "train":
      return party.train ? party.train(ask) : unable;
    case "learn":
      return party.learn ? party.learn(ask) : unable;
    case "memory":
      return { samples: [], memory: processMemory() };
    default:
      return ask satisfies never;
  }
}

const unable: Answer = { samples: [], error: "This party does not do that." };

/** Milliseconds that something took, and what it gave. */
export async function timed<T>(work: () => Promise<T> | T): Promise<[T, number]> {
  const started = performance.now();
  const result = await work();
  return [result, performance.now() - started];
}
