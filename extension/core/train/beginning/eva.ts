/**
 * EVA (https://arxiv.org/abs/2410.07170; PEFT tuners/lora/eva.py): A begins with the directions in which a
 * layer's inputs vary most, and ranks go where directions explain most of it.
 */
import { t } from "@vscode/l10n";
import { badRequest, misfit } from "../../base/errors.ts";
import { type Components, withRows } from "../../base/incrementalPca.ts";
import { pause } from "../../base/pause.ts";
import type { OnProgress } from "../../base/progress.ts";
import { roundToEven } from "../../base/roundToEven.ts";
import type { EvaConfig } from "../../peft/loraPreparations.ts";
import type { SessionOptions } from "../../session/ortSession.ts";
import type { Batch, EpochPlan } from "../data/batch.ts";
import { inParts } from "./inParts.ts";
import { InputSessions, type ObservedModel, placesOf, type SharedInput } from "./layerInputs.ts";
import { quickProducts } from "./quickProducts.ts";

/** A targeted layer and the rank that its config gives it. */
export interface RankedLayer {
  readonly path: string;
  readonly rank: number;
}

export interface EvaRequest {
  readonly config: EvaConfig;
  /** In the model's order. */
  readonly layers: readonly RankedLayer[];
  readonly r: number;
  /** The largest size of any weight: the bound of unusual values of rho. */
  readonly widest: number;
  readonly plan: EpochPlan;
  readonly file: string;
  readonly session?: SessionOptions | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface EvaDirections {
  /** [rank, in] by path; of rank 0 where a layer got none. */
  readonly directions: ReadonlyMap<string, { rank: number; a: Float32Array }>;
  readonly warnings: readonly string[];
}

/** Directions of one value that layers read. */
interface Observed extends SharedInput {
  readonly components: number;
  found: Components | null;
  /** Of each direction: did the last batch leave it as it was? */
  converged: boolean[];
  isDone: boolean;
}

/** Batches after which what was found so far is taken, converged or not. */
const mostBatches = 1000;

/** PEFT bounds rho above this by what layers have. */
const unusualRho = 1000;

export async function evaDirections(
  model: ObservedModel,
  request: EvaRequest,
): Promise<EvaDirections> {
  const { session } = request;
  const sessions = new InputSessions(model, { observation: "rows", session });
  try {
    return await converge(model, sessions, request);
  } finally {
    await sessions.dispose();
  }
}

/** PEFT's loop over batches, until the directions that ranks were given to hold still. */
async function converge(
  model: ObservedModel,
  sessions: InputSessions,
  request: EvaRequest,
): Promise<EvaDirections> {
  const { layers, plan, onProgress, signal } = request;
  const inputs = observedInputs(model, request);
  let ranks = new Map(inputs.flatMap((own) => own.paths.map((path) => [path, own.components])));
  let batches = 0;
  for (; batches < mostBatches; batches++) {
    for (const own of inputs) {
      const rank = ranks.get(own.paths[0] as string) ?? 0;
      own.isDone = own.converged.slice(0, rank).every(Boolean);
    }
    const waiting = inputs.filter(({ isDone }) => !isDone);
    onProgress?.({
      step: t("Preparing {0}: {1} of {2}", "EVA", inputs.length - waiting.length, inputs.length),
    });
    if (waiting.length === 0) break;
    await pause(signal);
    await fit(sessions, plan.batch(batches % plan.batches), { ...request, waiting });
    if (inputs.every(({ found }) => found !== null)) ranks = distribute(inputs, layers);
    const unmet = inputs.filter(({ found }) => found === null);
    if (batches + 1 >= plan.batches && unmet.length > 0) throw tooFewTokens(unmet);
  }
  return {
    directions: directionsOf(inputs, ranks, request),
    warnings: unfinished(inputs, batches),
  };
}

function observedInputs(
  { inputs }: ObservedModel,
  { config, layers, r, widest, file }: EvaRequest,
): Observed[] {
  const rho = config.rho > unusualRho ? Math.min(config.rho, Math.floor(widest / r)) : config.rho;
  const own = new Map(layers.map(({ path, rank }) => [path, roundToEven(rank * rho)]));
  return inputs.map((input) => {
    const components = Math.max(...input.paths.map((path) => own.get(path) ?? 0));
    if (components > input.size) {
      throw misfit(
        t(
          "{0}: EVA with rho {1} looks for {2} directions, {3} has {4} inputs. Lower rho or the rank.",
          file,
          config.rho,
          components,
          input.paths[0] as string,
          input.size,
        ),
      );
    }
    const converged = Array.from({ length: components }, () => false);
    return { ...input, components, found: null, converged, isDone: false };
  });
}

/** Adds a batch to what is known of the inputs that it has tokens enough for. */
async function fit(
  sessions: InputSessions,
  batch: Batch,
  { config, signal, waiting }: EvaRequest & { waiting: readonly Observed[] },
): Promise<void> {
  const isLearned = (label: number): boolean => label !== config.label_mask_value;
  const places = placesOf(batch, config.use_label_mask ? isLearned : null);
  const enough = waiting.filter(({ components }) => places.length >= components);
  const bytes = ({ size }: Observed): number => 4 * size * places.length;
  for (const part of inParts(enough, bytes)) {
    const rows = await (await sessions.for(part)).run(batch, places);
    for (const [i, own] of part.entries()) {
      await pause(signal);
      await take(own, rows[i] as Float32Array, config.tau);
    }
  }
}

async function take(own: Observed, rows: Float32Array, tau: number): Promise<void> {
  const { size: columns, components } = own;
  const before = own.found;
  own.found = await withRows(before, rows, { columns, components, products: quickProducts });
  if (!before) return;
  const { directions } = own.found;
  own.converged = Array.from({ length: components }, (_, i) => {
    const at = (all: Float64Array): Float64Array => all.subarray(i * columns, (i + 1) * columns);
    return likeness(at(directions), at(before.directions)) >= tau;
  });
}

function likeness(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

/** Ranks by how much their directions explain, as many in all as the config gives. */
function distribute(
  inputs: readonly Observed[],
  layers: readonly RankedLayer[],
): Map<string, number> {
  // PEFT lists the first layer of each input, then those that share one.
  const order = [
    ...inputs.map((own) => ({ path: own.paths[0] as string, own })),
    ...inputs.flatMap((own) => own.paths.slice(1).map((path) => ({ path, own }))),
  ];
  const shares = order.flatMap(({ path, own }) =>
    Array.from(own.found?.ratios ?? [], (share) => ({ path, share })),
  );
  const budget = layers.reduce((sum, { rank }) => sum + rank, 0);
  const ranks = new Map(order.map(({ path }) => [path, 0]));
  for (const { path } of shares.sort((a, b) => b.share - a.share).slice(0, budget)) {
    ranks.set(path, (ranks.get(path) ?? 0) + 1);
  }
  for (const { paths } of inputs) {
    const [first, ...others] = paths as [string, ...string[]];
    for (const path of others) {
      const [one, other] = [ranks.get(first) ?? 0, ranks.get(path) ?? 0];
      if (one >= other) continue;
      ranks.set(first, other);
      ranks.set(path, one);
    }
  }
  return ranks;
}

function directionsOf(
  inputs: readonly Observed[],
  ranks: ReadonlyMap<string, number>,
  { config }: EvaRequest,
): EvaDirections["directions"] {
  const out = new Map<string, { rank: number; a: Float32Array }>();
  for (const { paths, size, found } of inputs) {
    if (!found) continue;
    const rankOf = (path: string): number =>
      Math.min(ranks.get(path) ?? 0, found.singularValues.length);
    // PEFT whitens in place what layers on one input share: once for each that has the direction.
    const factors = found.singularValues.map((length, i) => {
      const times = config.whiten ? paths.filter((path) => rankOf(path) > i).length : 0;
      return length ** (-times / 2);
    });
    for (const path of paths) {
      const rank = rankOf(path);
      const own = found.directions.subarray(0, rank * size);
      const a = Float32Array.from(
        own,
        (value, i) => value * (factors[Math.floor(i / size)] as number),
      );
      out.set(path, { rank, a });
    }
  }
  return out;
}

function tooFewTokens(inputs: readonly Observed[]): Error {
  const least = Math.min(...inputs.map(({ components }) => components));
  return badRequest(
    t(
      "EVA needs batches with at least {0} tokens that count, and no batch has as many. Use larger batches, a lower rank or rho, or set eva_config.use_label_mask to false.",
      least,
    ),
  );
}

function unfinished(inputs: readonly Observed[], batches: number): string[] {
  const open = inputs.filter(({ isDone }) => !isDone);
  if (open.length === 0) return [];
  return [
    t(
      "EVA: after {0} batches the directions of {1} of {2} inputs still changed; they are used as they are.",
      batches,
      open.length,
      inputs.length,
    ),
  ];
}
