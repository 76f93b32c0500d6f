import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { isDeepStrictEqual } from "node:util";
import { multiply } from "../../extension/core/base/matrix.ts";
import type { CombinationType } from "../../extension/core/peft/combine/options.ts";
import type { PeftModel } from "../../extension/core/peftModel.ts";
import type { LoadedAdapter } from "../../extension/core/loadAdapter.ts";
import { expect, expectClose } from "./outcome.ts";
import { readJson, readTruths, type Truth } from "./truth.ts";

interface Combination {
  adapters: string[];
  weights: number[];
  combination_type: CombinationType;
  torch_seed: number | null;
  density?: number;
  svd_rank?: number;
  svd_clamp?: number;
  majority_sign_method?: "total" | "frequency";
}

const tolerance = 1e-5;

/**
 * Combines the adapters of multi/weighted_<case> anew: the factors (their product after an SVD) and
 * the config must be those of combo/.
 */
export async function checkCombination(model: PeftModel, folder: string): Promise<string> {
  const how = readJson<Combination>(path.join(folder, "expected.json"));
  const scratch = await mkdtemp(path.join(tmpdir(), "graft-combine-"));
  try {
    const made = await model.addWeightedAdapter(how.adapters, how.weights, "combined anew", {
      combinationType: how.combination_type,
      folder: scratch,
      ...(how.torch_seed !== null && { seed: how.torch_seed }),
      ...(how.density !== undefined && { density: how.density }),
      ...(how.svd_rank !== undefined && { svdRank: how.svd_rank }),
      ...(how.svd_clamp !== undefined && { svdClamp: how.svd_clamp }),
      ...(how.majority_sign_method && { majoritySignMethod: how.majority_sign_method }),
    });
    model.deleteAdapter(made.name);
    const combo = path.join(folder, "combo");
    sameConfig(made, combo);
    const own = await readTruths(made.checkpoint.weights.file);
    const truths = await readTruths(path.join(combo, "adapter_model.safetensors"));
    const [names, wanted] = [own, truths].map((each) => [...each.keys()].sort().join(", "));
    expect(names === wanted, `the combination has tensors ${names} instead of ${wanted}`);
    const isProduct = how.combination_type.endsWith("svd");
    return expectClose(
      isProduct ? "combined B A" : "combined factors",
      isProduct ? productDifference(own, truths) : factorDifference(own, truths),
      tolerance,
    );
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Target modules are a set. */
function sameConfig(made: LoadedAdapter, combo: string): void {
  const [own, wanted] = [made.checkpoint.dir, combo].map((dir) => {
    const config = readJson<{ target_modules: string | string[] }>(
      path.join(dir, "adapter_config.json"),
    );
    const targets = config.target_modules;
    return { ...config, target_modules: typeof targets === "string" ? targets : targets.sort() };
  });
  expect(isDeepStrictEqual(own, wanted), "the combination's config differs from PEFT's");
}

function factorDifference(
  own: ReadonlyMap<string, Truth>,
  truths: ReadonlyMap<string, Truth>,
): number {
  return Math.max(
    ...[...truths].map(([name, truth]) => {
      const { shape, data } = own.get(name) as Truth;
      return shape.join() === truth.shape.join() ? largest(data, truth.data) : Infinity;
    }),
  );
}

function productDifference(
  own: ReadonlyMap<string, Truth>,
  truths: ReadonlyMap<string, Truth>,
): number {
  const names = [...truths.keys()].filter((name) => name.endsWith(".lora_A.weight"));
  return Math.max(...names.map((name) => largest(product(own, name), product(truths, name))));
}

function product(tensors: ReadonlyMap<string, Truth>, name: string): Float64Array {
  const a = tensors.get(name) as Truth;
  const b = tensors.get(name.replace(".lora_A.", ".lora_B.")) as Truth;
  const [inner = 0, columns = 0] = a.shape;
  return multiply(b.data as Float32Array, a.data as Float32Array, {
    rows: b.shape[0] ?? 0,
    inner,
    columns,
  });
}

function largest(own: Truth["data"] | Float64Array, truth: Truth["data"] | Float64Array): number {
  let difference = own.length === truth.length ? 0 : Infinity;
  own.forEach((value: number | bigint, i: number) => {
    const each = Math.abs(Number(value) - Number(truth[i]));
    if (!(each <= difference)) difference = each;
  });
  return difference;
}
