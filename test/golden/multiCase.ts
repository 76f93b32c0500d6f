import { existsSync, readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { asGraftError } from "../../extension/core/base/errors.ts";
import type { PeftModel } from "../../extension/core/peftModel.ts";
import type { ActiveAdapter } from "../../extension/core/loadedAdapters.ts";
import type { BaseInputs } from "../../extension/core/baseSession.ts";
import { closeLogits } from "./adapterCase.ts";
import { checkCombination } from "./combineCheck.ts";
import { allLogits, type Bases, greedyTokens } from "./models.ts";
import { expect, expectClose, Skip } from "./outcome.ts";
import { checkRoundTrip } from "./saveCheck.ts";
import { integerRows, logitDifference, readJson, readTruths, type Truth } from "./truth.ts";

/** One folder of multi/<case>: several adapters loaded, every recorded set of active ones compared. */
export async function checkMultiCase(folder: string, bases: Bases): Promise<string> {
  const truths = await readTruths(path.join(folder, "expected.safetensors"));
  const names = adapterNames(folder);
  const [first] = names;
  const inputIds = truths.get("input_ids");
  const attention = truths.get("attention_mask");
  if (!first || !inputIds || !attention) throw new Skip("holds no adapters or inputs");
  const config = readJson<{ base_model_name_or_path: string }>(
    path.join(adapterFolder(folder, first), "adapter_config.json"),
  );
  const model = await bases.model(config.base_model_name_or_path);
  for (const name of names)
    await model.loadAdapter(adapterFolder(folder, name), { adapterName: name });
  const batch = { ids: integerRows(inputIds), mask: integerRows(attention) };
  const notes: string[] = [];
  const unknown: string[] = [];
  for (const [key, truth] of truths) {
    if (key === "arrow_logits") {
      const actual = await allLogits(model, await arrowInputs(model, folder, names), batch);
      notes.push(closeLogits(key, { actual, truth, mask: batch.mask, tolerance: 1e-4 }));
      continue;
    }
    if (key === "mixed_logits") {
      const rows = readJson<{ adapter_names: string[] }>(path.join(folder, "expected.json"));
      const actual = await allLogits(model, model.inputsOfRows(rows.adapter_names), batch);
      notes.push(closeLogits(key, { actual, truth, mask: batch.mask, tolerance: 1e-4 }));
      continue;
    }
    const merged = mergedSet(key, names);
    if (merged) {
      notes.push(await checkMerged(model, key, { merged, batch, truth }));
      continue;
    }
    if (key === "unmerged_logits") {
      notes.push(await checkUnmerged(model, names, { batch, truth }));
      continue;
    }
    if (key === "combo_logits" && !names.includes("combo")) {
      // A combination that is not in the folder: the exact one, whose logits are those of the sum.
      const actual = await exactCombination(model, names, batch);
      notes.push(closeLogits(key, { actual, truth, mask: batch.mask, tolerance: 1e-4 }));
      continue;
    }
    if (key.endsWith("_hotswapped_logits")) await hotswap(model, folder, key);
    const active = activeSet(key, names);
    if (active === null) {
      if (key.endsWith("_logits")) unknown.push(key);
      continue;
    }
    const tensors = model.inputsOf(active);
    if (key.endsWith("_generated")) {
      const tokens = await greedyTokens(model, tensors, { ...batch, count: truth.shape[1] ?? 0 });
      expect(tokens.join() === integerRows(truth).join(), `${key}: ${tokens.join()}`);
      continue;
    }
    const actual = await allLogits(model, tensors, batch);
    notes.push(closeLogits(key, { actual, truth, mask: batch.mask, tolerance: 1e-4 }));
  }
  if (path.basename(folder).startsWith("weighted_")) {
    notes.push(await checkCombination(model, folder));
  }
  notes.push(await checkRoundTrip(model, model.adapters));
  await checkDeletion(model, names);
  if (unknown.length > 0) throw new Skip(`Graft does not do ${unknown.join(", ")} yet`);
  return notes.join(", ");
}

/** Logits of all adapters in one, made by "cat" with the weight 1 for each. */
async function exactCombination(
  model: PeftModel,
  names: readonly string[],
  batch: { ids: number[][]; mask: number[][] },
): Promise<Float32Array> {
  const folder = await mkdtemp(path.join(tmpdir(), "graft-combine-"));
  try {
    const weights = names.map(() => 1);
    const options = { combinationType: "cat", folder } as const;
    const { name } = await model.addWeightedAdapter(names, weights, "combo", options);
    const logits = await allLogits(model, model.inputsOf([{ name, weight: 1 }]), batch);
    model.deleteAdapter(name);
    return logits;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Routing among all adapters, without the knowledge of those called as PEFT calls general ones. */
function arrowInputs(
  model: PeftModel,
  folder: string,
  names: readonly string[],
): Promise<BaseInputs> {
  const { arrow } = readJson<{
    arrow: { top_k: number; router_temperature: number; rng_seed: number; use_gks?: boolean };
  }>(path.join(folder, "expected.json"));
  const isGeneral = (name: string): boolean => /^gks_\d+$/.test(name);
  return model.arrowInputs(
    names.filter((name) => !isGeneral(name)),
    {
      topK: arrow.top_k,
      temperature: arrow.router_temperature,
      seed: arrow.rng_seed,
      useGks: arrow.use_gks ?? false,
      generalAdapters: names.filter(isGeneral),
    },
  );
}

function adapterNames(folder: string): string[] {
  const inner = readdirSync(folder).filter((name) =>
    existsSync(path.join(folder, name, "adapter_config.json")),
  );
  return existsSync(path.join(folder, "adapter_config.json")) ? ["default", ...inner] : inner;
}

function adapterFolder(folder: string, name: string): string {
  return name === "default" ? folder : path.join(folder, name);
}

/** "b_again_logits" → b alone; null for what is no set of active adapters. */
function activeSet(key: string, names: readonly string[]): ActiveAdapter[] | null {
  const match = /^(.+?)(?:_(?:again|loaded|hotswapped|after_delete))?_(?:logits|generated)$/.exec(
    key,
  );
  const what = match?.[1];
  if (what === undefined) return null;
  if (what === "base" || what === "disabled") return [];
  if (what === "both" || what === "both_active") return names.map((name) => ({ name, weight: 1 }));
  if (names.includes(what)) return [{ name: what, weight: 1 }];
  const sequence = what.replace(/_dora$/, "").split("_then_");
  if (sequence.every((name) => names.includes(name))) {
    return sequence.map((name) => ({ name, weight: 1 }));
  }
  const scaled = /^(.+)_times_(-?[\d.]+)$/.exec(what);
  if (!scaled || !names.includes(scaled[1] as string)) return null;
  return [{ name: scaled[1] as string, weight: Number(scaled[2]) }];
}

/** "a_b_merged_logits", "merged_a_b_logits", "merged_both_logits" → a then b. */
function mergedSet(key: string, names: readonly string[]): string[] | null {
  const what = /^(?:merged_(.+)|(.+)_merged)_logits$/.exec(key);
  const which = what?.[1] ?? what?.[2];
  if (which === undefined) return null;
  if (which === "both") return [...names];
  const parts = which.split("_");
  return parts.every((part) => names.includes(part)) ? parts : null;
}

interface Recorded {
  readonly batch: { ids: number[][]; mask: number[][] };
  readonly truth: Truth;
}

/** Merges in memory, compares, unmerges: the base is then as before, bit for bit. */
async function checkMerged(
  model: PeftModel,
  key: string,
  { merged, batch, truth }: Recorded & { merged: readonly string[] },
): Promise<string> {
  const before = await allLogits(model, model.inputsOf([]), batch);
  await model.mergeAdapter(merged);
  try {
    const actual = await allLogits(model, model.inputsOf(model.mergedAdapters), batch);
    return closeLogits(key, { actual, truth, mask: batch.mask, tolerance: 1e-4 });
  } finally {
    await model.unmergeAdapter();
    const after = await allLogits(model, model.inputsOf([]), batch);
    expect(
      after.every((value, i) => value === before[i]),
      `${key}: unmerging changed the base`,
    );
  }
}

/** What is active stays so through merging and unmerging; PEFT's case does not say which it was. */
async function checkUnmerged(
  model: PeftModel,
  names: readonly string[],
  { batch, truth }: Recorded,
): Promise<string> {
  const differences: number[] = [];
  for (const active of [names.slice(0, 1), names]) {
    model.setAdapter(active);
    await model.mergeAdapter(names);
    await model.unmergeAdapter();
    const actual = await allLogits(model, model.inputsOf(model.activeAdapters), batch);
    differences.push(logitDifference(actual, truth, batch.mask));
  }
  return expectClose("unmerged_logits logits", Math.min(...differences), 1e-4);
}

/** "b_hotswapped": b's weights took the place of another adapter's; then both are loaded anew. */
async function hotswap(model: PeftModel, folder: string, key: string): Promise<void> {
  const name = key.replace("_hotswapped_logits", "");
  const other = model.adapters.find((adapter) => adapter.name !== name);
  if (!other) return;
  model.deleteAdapter(name);
  await model.hotswapAdapter(adapterFolder(folder, name), other.name);
  model.renameAdapter(other.name, name);
  await model.loadAdapter(other.checkpoint.dir, { adapterName: other.name });
}

/** False for adapters that PEFT refuses as well: both replace the same parameter. */
function canBeTogether(model: PeftModel, names: readonly string[]): boolean {
  try {
    model.setAdapter([...names]);
    return true;
  } catch (error) {
    const { code, message } = asGraftError(error);
    if (code !== "bad-request" || !/ both replace |Only one /.test(message)) throw error;
    return false;
  }
}

/** Deleting leaves the others loaded and active. */
async function checkDeletion(model: PeftModel, names: readonly string[]): Promise<void> {
  const together = canBeTogether(model, names) ? names : names.slice(-1);
  model.setAdapter([...together]);
  model.deleteAdapter(names.at(-1) as string);
  expect(
    model.activeAdapters.map(({ name }) => name).join() === together.slice(0, -1).join(),
    "deleting an adapter changed which others are active",
  );
  await Promise.resolve();
}
