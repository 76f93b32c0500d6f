import { badRequest } from "../core/base/errors.ts";
import { describeBase } from "../core/baseModel.ts";
import { openModel } from "../core/precision.ts";
import { openAdapterCheckpoint } from "../core/checkpoint/adapterCheckpoint.ts";
import { modelFolder } from "../core/checkpoint/findAdapter.ts";
import { combineAdapters } from "../core/peft/combine.ts";
import { type CombineOptions, combinationTypes } from "../core/peft/combine/options.ts";
import type { CombineSource } from "../core/peft/combine/source.ts";
import { saveCombined } from "../core/savePretrained.ts";
import { showTransfers } from "./progress.ts";
import { readArguments, readNumber, readWeighted } from "./arguments.ts";

const options = {
  adapter: { type: "string", multiple: true },
  out: { type: "string" },
  base: { type: "string" },
  type: { type: "string" },
  density: { type: "string" },
  "svd-rank": { type: "string" },
  "svd-clamp": { type: "string" },
  "majority-sign": { type: "string" },
  seed: { type: "string" },
} as const;

/** Writes one adapter made of several; files that are there already stay, by an error. */
export async function combine(args: string[], signal: AbortSignal): Promise<void> {
  const { values } = readArguments(args, options);
  const { adapter: adapters = [], out, base } = values;
  if (out === undefined || adapters.length === 0) {
    throw badRequest("combine needs --adapter DIR[:WEIGHT], once or more, and --out DIR.");
  }
  const place = { onProgress: showTransfers(), signal };
  const sources: CombineSource[] = [];
  for (const text of adapters) {
    const { folder, weight } = readWeighted(text);
    const checkpoint = await openAdapterCheckpoint(await modelFolder(folder, place), signal);
    sources.push({ name: folder, weight, checkpoint });
  }
  const number = (name: "density" | "svd-rank" | "svd-clamp" | "seed"): number | undefined =>
    values[name] === undefined ? undefined : readNumber(values[name], name, 0);
  const chosen = {
    combinationType: oneOf("type", values.type, combinationTypes),
    density: number("density"),
    svdRank: number("svd-rank"),
    svdClamp: number("svd-clamp"),
    majoritySignMethod: oneOf("majority-sign", values["majority-sign"], ["total", "frequency"]),
    seed: number("seed"),
    signal,
  };
  const folder = base && (await modelFolder(base, place, "Base model"));
  const on = folder === undefined ? undefined : (await openModel(folder, signal)).checkpoint;
  const combined = await combineAdapters(sources, withoutAbsent(chosen), on && describeBase(on));
  const { checkpoint: first } = sources[0] as CombineSource;
  const named = { first, base: on?.dir, leadToBase: true };
  const files = await saveCombined(combined, out, { ...named, signal });
  for (const warning of combined.warnings) process.stderr.write(`${warning}\n`);
  process.stdout.write(`${files.join("\n")}\n`);
}

function oneOf<T extends string>(
  name: string,
  text: string | undefined,
  choices: readonly T[],
): T | undefined {
  if (text === undefined) return undefined;
  const choice = choices.find((each) => each === text);
  if (choice !== undefined) return choice;
  throw badRequest(`--${name} is "${text}": ${choices.join(", ")}.`);
}

/** Options that were not given are left out, so that defaults stay with the core. */
function withoutAbsent(chosen: {
  [K in keyof CombineOptions]: CombineOptions[K] | undefined;
}): CombineOptions {
  const given = Object.entries(chosen).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as CombineOptions;
}
