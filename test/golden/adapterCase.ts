import { existsSync, readdirSync } from "node:fs";
import * as path from "node:path";
import { elementCount } from "../../extension/core/base/shape.ts";
import { checkRoundTrip } from "./saveCheck.ts";
import { checkMerge } from "./mergeCheck.ts";
import type { PeftModel } from "../../extension/core/peftModel.ts";
import type { LoadedAdapter } from "../../extension/core/loadAdapter.ts";
import {
  allLogits,
  type Bases,
  type CaseBatch,
  greedyTokens,
  greedyWithoutCache,
} from "./models.ts";
import { halfPrecisionOf, halfTolerance } from "./halfPrecision.ts";
import { expect, expectClose, Skip } from "./outcome.ts";
import { integerRows, logitDifference, readJson, readTruths, type Truth } from "./truth.ts";

interface Expected {
  model: string;
  peft_type: string;
  base_dtype: string;
  trainable_parameters: number;
  all_parameters?: number;
  config_passed?: { r?: number };
  merge?: string;
  merged_vs_adapter?: number;
  generate_with_cache_matches?: boolean;
  saved_tensors: Record<string, { shape: number[]; dtype?: string }>;
  targeted_module_names?: string[];
  /** Parameters that LoRA's target_parameters chose. */
  targeted_parameter_names?: string[];
  note?: string | null;
}

const tolerances = { full: 1e-4, half: 1e-3 };

export function expectedOf(folder: string): Expected {
  return readJson<Expected>(path.join(folder, "expected.json"));
}

/** One folder of adapters/<arch>/<case>: logits, greedy ids, parameters and targeted modules. */
export async function checkAdapterCase(folder: string, bases: Bases): Promise<string> {
  const expected = expectedOf(folder);
  const truths = await readTruths(path.join(folder, "expected.safetensors"));
  const half = halfPrecisionOf(expected);
  const tolerance = half ? tolerances.half : tolerances.full;
  const model = await bases.model(expected.model, half ?? {});
  const batch = batchOf(truths);
  const adapter = await model.loadAdapter(adapterFolder(folder));
  const bare = await allLogits(model, model.inputsOf([]), batch);
  const active = model.inputsOf([{ name: adapter.name, weight: 1, task: taskIds(expected) }]);
  const adapted = await allLogits(model, active, batch);
  // Logits of an answer are all of real tokens; virtual ones stand before the encoder's alone.
  const bareMask = batch.decoderIds?.map((row) => row.map(() => 1)) ?? batch.mask;
  const virtual = batch.decoderIds ? 0 : active.virtualTokens;
  const mask = bareMask.map((row) => [...Array<number>(virtual).fill(1), ...row]);
  const truth = truths.get("adapter_logits");
  const notes = [
    closeLogits("base", {
      actual: bare,
      truth: truths.get("base_logits"),
      mask: bareMask,
      tolerance,
    }),
  ];
  const checkAdapted = (): void => {
    let allowed = tolerance;
    if (half && truth) {
      const difference = logitDifference(adapted, truth, mask);
      const own = halfTolerance("adapter logits", difference, { truth, half });
      allowed = own.tolerance;
      if (own.note !== "") notes.push(own.note);
    }
    notes.push(closeLogits("adapter", { actual: adapted, truth, mask, tolerance: allowed }));
  };
  // A step of a 16-bit type refuses the case, but only once the rest was looked at.
  if (!half) checkAdapted();
  const ids = [batch.ids[0] as number[]];
  // 16-bit logits have ties, which greedy ids decide by chance.
  await sameGreedy(half ? undefined : truths.get("greedy_base"), (count) =>
    greedyTokens(model, model.inputsOf([]), { ids, count }),
  );
  const firstRow = model.inputsOf([
    { name: adapter.name, weight: 1, task: taskIds(expected)?.[0] },
  ]);
  await sameGreedy(half ? undefined : truths.get("greedy_adapter"), (count) =>
    // Truths are computed without a cache, which routers that average over a pass can tell, and
    // angles that follow the length where transformers keeps keys that were turned by others.
    expected.generate_with_cache_matches === false
      ? greedyWithoutCache(model, firstRow, { ids, count })
      : greedyTokens(model, firstRow, { ids, count }),
  );
  const { targeted_module_names: named = [], targeted_parameter_names: parameters = [] } = expected;
  const modules = [...named, ...parameters];
  checkCounts(model, adapter, expected);
  const bound = [...adapter.report.bound].sort();
  expect(
    modules.length === 0 || JSON.stringify(bound) === JSON.stringify([...modules].sort()),
    `bound ${bound.join(", ")}; PEFT targets ${modules.join(", ")}`,
  );
  notes.push(await checkRoundTrip(model, [adapter]));
  // PEFT merges all copies of a repeated layer into the one weight that they share.
  if (expected.merge === "ok" && !adapter.weights.effects.layers) {
    model.setAdapter(adapter.name);
    // On tied models PEFT's merge changes both ends; Graft's keeps what the adapter says.
    const compareTensors = (expected.merged_vs_adapter ?? 0) < 1e-3;
    // compact.py leaves out what PEFT merged to its adapter's own logits.
    const merged = compareTensors ? truths.get("merged_logits") : undefined;
    const logits = merged ?? (truths.get("adapter_logits") as Truth);
    // PEFT rounds an update to 16 bits, then the sum with it; Graft rounds the sum alone.
    if (half) notes.push("merged logits not compared");
    else notes.push(await checkMerge(model, { folder, batch, logits, compareTensors }));
  }
  if (half) checkAdapted();
  return notes.join(", ");
}

/** What a case asks: tokens, or images by their pixels. */
export function batchOf(truths: ReadonlyMap<string, Truth>): CaseBatch {
  const [inputIds, attention] = [truths.get("input_ids"), truths.get("attention_mask")];
  const types = truths.get("token_type_ids");
  const pixels = truths.get("pixel_values");
  if (pixels) {
    const shape = pixels.shape as [number, number, number, number];
    const values = pixels.data as Float32Array;
    return { ids: [], mask: [], pixels: { kind: "pixels", values, shape } };
  }
  if (!inputIds || !attention) throw new Skip("has no input_ids: nothing that Graft can ask");
  const tokenTypes = types && integerRows(types);
  const answers = truths.get("decoder_input_ids");
  const decoderIds = answers && integerRows(answers);
  return { ids: integerRows(inputIds), mask: integerRows(attention), tokenTypes, decoderIds };
}

/** Tasks of the rows: Poly's own, or what the note says ("forward needs task_ids = [0, 2]"). */
export function taskIds({ note, peft_type: type }: Expected): number[] | undefined {
  if (type === "POLY") return [0, 1];
  const ids = /task_ids = \[([\d, ]+)\]/.exec(note ?? "")?.[1];
  return ids?.split(",").map(Number);
}

/**
 * Trainable and all parameters equal PEFT's, and so does the size of the file. Saving with
 * `path_initial_model_for_weight_conversion` doubles the rank, so that PEFT itself counts another
 * number of what it saved than of what it trained: there it must be that of the saved factors.
 */
function checkCounts(model: PeftModel, adapter: LoadedAdapter, expected: Expected): void {
  const { counts, parameters } = adapter.weights;
  const saved = Object.values(expected.saved_tensors).reduce(
    (sum, { shape }) => sum + elementCount(shape),
    0,
  );
  const equal = (what: string, own: number, truth: number): void =>
    expect(own === truth, `${own} ${what} parameters, PEFT counts ${truth}`);
  equal("stored", counts.stored, saved);
  const rank = adapter.checkpoint.config.raw["r"];
  if (expected.config_passed?.r !== undefined && expected.config_passed.r !== rank) {
    equal("trainable", counts.trainable, saved);
    return;
  }
  // A file of transformers 4 takes the place of the adapter whose parameters were counted.
  if (Object.keys(expected.saved_tensors).some((name) => /\.experts\.\d+\./.test(name))) return;
  equal("trained", parameters, expected.trainable_parameters);
  if (expected.all_parameters === undefined) return;
  const { total } = model.getNbTrainableParameters();
  equal("all", total + counts.trained - counts.trainable, expected.all_parameters);
}

/** The folder itself, or its one subfolder for adapters that are not named "default". */
export function adapterFolder(folder: string): string {
  const own = path.join(folder, "adapter_config.json");
  if (existsSync(own)) return folder;
  const inner = readdirSync(folder).find((name) =>
    existsSync(path.join(folder, name, "adapter_config.json")),
  );
  return inner === undefined ? folder : path.join(folder, inner);
}

export function closeLogits(
  what: string,
  at: { actual: Float32Array; truth: Truth | undefined; mask: number[][]; tolerance: number },
): string {
  if (!at.truth) throw new Skip(`has no ${what} logits`);
  return expectClose(`${what} logits`, logitDifference(at.actual, at.truth, at.mask), at.tolerance);
}

async function sameGreedy(
  truth: Truth | undefined,
  run: (count: number) => Promise<number[][]>,
): Promise<void> {
  if (!truth) return;
  const [wanted] = integerRows(truth) as [number[]];
  const [got] = (await run(wanted.length)) as [number[]];
  expect(got.join() === wanted.join(), `greedy ids ${got.join()} instead of ${wanted.join()}`);
}
