import type { Use } from "./protocol.ts";
import type { AdapterKind } from "./randomAdapter.ts";

/** Adapters by the names that cases use. */
export const adapterKinds: Readonly<Record<string, AdapterKind>> = {
  r8: { method: "lora", rank: 8, seed: 1 },
  r16: { method: "lora", rank: 16, seed: 2 },
  r64: { method: "lora", rank: 64, seed: 3 },
  r16b: { method: "lora", rank: 16, seed: 4 },
  r16c: { method: "lora", rank: 16, seed: 5 },
  r16d: { method: "lora", rank: 16, seed: 6 },
  dora: { method: "dora", rank: 16, seed: 7 },
  ia3: { method: "ia3", rank: 0, seed: 8 },
};

/** One thing that every party of a run is asked. */
export interface Case {
  readonly name: string;
  readonly use: Use;
  readonly batch: number;
  /** Tokens before the first step, or of the prompt. */
  readonly context: number;
  /**
   * "plain" and "ahead" say a text that repeats its prompt but for an edit every twenty tokens; "ahead"
   * with speculation. "inspect" is what the engine does for the inspector's page. "swap" makes one adapter active after the other, "weigh" changes the weights of a mixture.
   */
  readonly kind: "decode" | "prefill" | "plain" | "ahead" | "attach" | "inspect" | "swap" | "weigh";
}

export interface Group {
  /** Groups of one kind of adapters share processes: some methods cannot stand beside others in PEFT. */
  readonly family: "lora" | "dora" | "ia3";
  readonly cases: readonly Case[];
}

const bare: Use = { adapters: [] };

function active(...names: string[]): Use {
  return { adapters: names.map((name) => ({ name, weight: 1 / names.length })) };
}

function decode(name: string, use: Use, { context = 128, batch = 1 } = {}): Case {
  return { name, use, batch, context, kind: "decode" };
}

function prefill(name: string, use: Use, context: number): Case {
  return { name, use, batch: 1, context, kind: "prefill" };
}

const four = ["r16", "r16b", "r16c", "r16d"];

export const groups: Readonly<Record<string, Group>> = {
  decode: { family: "lora", cases: [decode("none", bare), decode("r16", active("r16"))] },
  ranks: {
    family: "lora",
    cases: [
      decode("r8", active("r8")),
      decode("r64", active("r64")),
      decode("two mixed", active("r16", "r16b")),
    ],
  },
  context: {
    family: "lora",
    cases: [
      decode("r16 at 1024", active("r16"), { context: 1024 }),
      decode("r16 at 4096", active("r16"), { context: 4096 }),
    ],
  },
  batch: {
    family: "lora",
    cases: [
      decode("4 rows, one adapter", active("r16"), { batch: 4 }),
      decode("4 rows, four adapters", { adapters: [], rows: four }, { batch: 4 }),
    ],
  },
  prefill: {
    family: "lora",
    cases: [prefill("256, none", bare, 256), prefill("256, r16", active("r16"), 256)],
  },
  speculation: {
    family: "lora",
    cases: [
      { ...decode("edit, plain", active("r16"), { context: 256 }), kind: "plain" },
      { ...decode("edit, read ahead", active("r16"), { context: 256 }), kind: "ahead" },
    ],
  },
  adapters: {
    family: "lora",
    cases: [
      { ...decode("attach r16", active("r16")), kind: "attach" },
      { ...decode("inspect r16", active("r16")), kind: "inspect" },
      { ...decode("swap r16", active("r16", "r16b")), kind: "swap" },
      { ...decode("change a weight", active("r16", "r16b")), kind: "weigh" },
    ],
  },
  dora: {
    family: "dora",
    cases: [decode("DoRA r16", active("dora")), prefill("256, DoRA", active("dora"), 256)],
  },
  ia3: {
    family: "ia3",
    cases: [decode("IA3", active("ia3")), prefill("256, IA3", active("ia3"), 256)],
  },
};

/** Names of the adapters that cases need. */
export function adaptersOf(cases: readonly Case[]): string[] {
  return [
    ...new Set(
      cases.flatMap(({ use }) => [...use.adapters.map(({ name }) => name), ...(use.rows ?? [])]),
    ),
  ];
}
