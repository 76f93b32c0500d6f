import { t } from "@vscode/l10n";
import { badFile, misfit } from "../base/errors.ts";
import { isSameShape, showShape } from "../base/shape.ts";
import { torchGenerator } from "../base/torchRandom.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { LayerSize, LinearEffect } from "./effect.ts";
import { scaleRows } from "./effect.ts";
import type { TunerContext } from "./tuner/tuner.ts";

/** Two random matrices that all modules share; each takes the first columns of A, the first rows of B. */
export interface Projection {
  /** [ranks, widest input] */
  readonly a: Float32Array;
  /** [widest output, rank] */
  readonly b: Float32Array;
  readonly inputs: number;
  readonly rank: number;
}

/** Config fields of methods with a shared random projection. */
interface ProjectionConfig {
  readonly r: number;
  readonly projection_prng_key: number;
  readonly save_projection: boolean;
}

/** By the stored tensors of an adapter that is being loaded. */
const made = new WeakMap<object, Projection>();

/**
 * The projection that an adapter stores, or that its seed gives where it stores none.
 * @param names of A and B in the file
 * @param aRows rows of A: the rank, or twice as many where A also makes a variance
 * @throws bad-file when the config says that it is stored and it is not
 */
export function sharedProjection(
  context: TunerContext<ProjectionConfig>,
  { a, b }: { a: string; b: string },
  aRows: number,
): Projection {
  const known = made.get(context.shared);
  if (known) return known;
  const { config, shared, file } = context;
  const { r: rank } = config;
  const { in: inputs, out } = largestLayer(context.targets);
  const projection = config.save_projection
    ? { a: stored(a, [aRows, inputs]), b: stored(b, [out, rank]) }
    : kaimingPair(config.projection_prng_key, { aRows, inputs, out, rank });
  const result = { ...projection, inputs, rank };
  made.set(context.shared, result);
  return result;

  function stored(name: string, shape: readonly number[]): Float32Array {
    if (!shared.has(name)) {
      throw badFile(file, t('says that "{0}" is stored (save_projection), but it is not', name));
    }
    if (!isSameShape(shared.shape(name), shape)) {
      throw misfit(
        t(
          '{0}: tensor "{1}" is {2}, the targets on this base need {3}.',
          file,
          name,
          showShape(shared.shape(name)),
          showShape(shape),
        ),
      );
    }
    return shared.values(name);
  }
}

/** The largest input and the largest output among targets, which need not be of one layer. */
export function largestLayer(targets: readonly ModuleInfo[]): LayerSize {
  const linear = targets.filter((module) => module.kind === "linear");
  return {
    in: Math.max(...linear.map((module) => module.in)),
    out: Math.max(...linear.map((module) => module.out)),
  };
}

/** A, then B, uniform within √(6 / columns): torch's kaiming_uniform_ (PEFT vera/model.py). */
export function kaimingPair(
  seed: number,
  { aRows, inputs, out, rank }: { aRows: number; inputs: number; out: number; rank: number },
): { a: Float32Array; b: Float32Array } {
  const generator = torchGenerator(seed);
  const draw = (rows: number, columns: number): Float32Array => {
    const bound = Math.sqrt(3) * (Math.sqrt(2) / Math.sqrt(columns));
    return generator.uniform(rows * columns, -bound, bound);
  };
  return { a: draw(aRows, inputs), b: draw(out, rank) };
}

/** ΔW = diag(lambdaB) B diag(lambdaD) A, for one layer: low rank. */
export function scaledProjection(
  { in: inputs, out }: LayerSize,
  projection: Projection,
  { lambdaB, lambdaD }: { lambdaB: Float32Array; lambdaD: Float32Array },
): LinearEffect {
  const { a, b, rank } = projection;
  const own = new Float32Array(rank * inputs);
  for (let row = 0; row < rank; row++) {
    const start = row * projection.inputs;
    const scale = lambdaD[row] as number;
    for (let i = 0; i < inputs; i++) own[row * inputs + i] = scale * (a[start + i] as number);
  }
  return { lowRank: { a: own, b: scaleRows(b.slice(0, out * rank), lambdaB, rank), rank } };
}

/** What PEFT's own users should know of a projection that is not stored. */
export function projectionWarnings({ save_projection: isStored }: ProjectionConfig): string[] {
  return isStored
    ? []
    : [
        t(
          "The random projection is not stored; it is made from its seed, as PyTorch makes it on a CPU.",
        ),
      ];
}
