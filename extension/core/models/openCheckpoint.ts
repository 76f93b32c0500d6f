import { t } from "@vscode/l10n";
import { badFile } from "../base/errors.ts";
import { elementCount } from "../base/shape.ts";
import {
  type BaseCheckpoint,
  openBaseCheckpoint,
  type WeightRef,
} from "../checkpoint/baseCheckpoint.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { architecturesOf } from "./architecture.ts";
import { partsOfStack } from "./expertWeights.ts";
import type { Family } from "./family.ts";
import { families } from "./index.ts";

/**
 * Opens a checkpoint's folder with its weights under the names that transformers 5 gives to parameters.
 * @param asClass the config of the class that it is opened as, where that is not its own
 */
export async function openCheckpoint(
  folder: string,
  signal?: AbortSignal,
  asClass: (config: ModelConfig) => ModelConfig = (config) => config,
): Promise<BaseCheckpoint> {
  const opened = await openBaseCheckpoint(folder, signal);
  return withParameterNames({ ...opened, config: asClass(opened.config) });
}

/**
 * Keys of `weights` become names of parameters; `WeightRef.name` stays the name in the file.
 * @throws bad-file when two tensors of the files are one parameter
 */
function withParameterNames(checkpoint: BaseCheckpoint): BaseCheckpoint {
  const { config } = checkpoint;
  const family = families.find(({ modelType }) => modelType === config.modelType);
  if (!family) return checkpoint;
  const renamed = [...checkpoint.weights.values()].flatMap((ref) => {
    const name = family.tensorName ? family.tensorName(ref.name, config.raw) : ref.name;
    return name === null ? [] : [{ name, ref }];
  });
  const inClass = backboneNaming(
    family,
    checkpoint,
    renamed.map(({ name }) => name),
  );
  const weights = new Map<string, WeightRef>();
  for (const { name: own, ref } of withoutTwins(renamed, family)) {
    const whole = inClass(own);
    for (const [name, part] of partsOfStack(whole, ref) ?? [[whole, ref]]) {
      const twin = weights.get(name);
      if (twin)
        throw badFile(
          ref.file,
          t('tensors "{0}" and "{1}" both are "{2}"', twin.name, ref.name, name),
        );
      weights.set(name, part);
    }
  }
  const sizes = [...weights.values()].map(({ shape }) => elementCount(shape));
  return { ...checkpoint, weights, parameters: sizes.reduce((sum, size) => sum + size, 0) };
}

/** One tensor of each parameter that has several names. */
function withoutTwins<T extends { readonly name: string }>(
  tensors: readonly T[],
  { twins = {} }: Family,
): T[] {
  let kept = [...tensors];
  for (const [main, others] of Object.entries(twins)) {
    const found = kept.find(({ name }) => name === main || others.includes(name));
    const own = kept.find(({ name }) => name === main) ?? (found && { ...found, name: main });
    kept = kept.filter(({ name }) => name !== main && !others.includes(name));
    if (own) kept.push(own);
  }
  return kept;
}

/**
 * Files of the bare stack lack the name that a class with a head has in front of it, and the other
 * way round; transformers reads either in both (`base_model_prefix`).
 */
function backboneNaming(
  family: Family,
  { config }: BaseCheckpoint,
  names: readonly string[],
): (name: string) => string {
  const known = architecturesOf(family);
  const found = known.find(({ name }) => name === config.architecture) ?? known[0];
  const { family: stack = "", own = "" } = found?.backbone ?? {};
  const fronts = [...new Set([own, stack])].filter((front) => front !== "").map((f) => `${f}.`);
  const front = fronts.find((each) => names.some((name) => name.startsWith(each)));
  const place = (rest: string): string => (own === "" ? rest : `${own}.${rest}`);
  if (front === undefined) return place;
  return (name) => (name.startsWith(front) ? place(name.slice(front.length)) : name);
}
