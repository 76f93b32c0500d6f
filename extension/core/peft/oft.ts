/**
 * OFT, orthogonal fine-tuning (https://arxiv.org/abs/2306.07280, input-centric as in
 * https://arxiv.org/abs/2506.19847; PEFT tuners/oft): blocks of the input are rotated, x → x R, so
 * W' = W Rᵀ. R of a block comes from a skew-symmetric Q by Cayley's transform or its series.
 * ΔW = W (Rᵀ − I) has full rank in general: a dense Δ. Embeddings have their rows rotated.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { GraftError, unsupported } from "../base/errors.ts";
import type { AdapterConfig } from "../checkpoint/adapterConfig.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { cayley, cayleyNeumann, skewSymmetric } from "./cayley.ts";
import { loraTargets } from "./defaultTargets.ts";
import type { EmbeddingEffect, LinearEffect } from "./effect.ts";
import { oftFieldInfo } from "./oftFields.ts";
import { tunerFields } from "./tuner/config.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

const count = z.int(t("It must be a whole number.")).nonnegative(t("It must not be negative."));

const oftSchema = z.looseObject({
  ...tunerFields,
  r: count.default(0),
  oft_block_size: count.default(32),
  coft: z.boolean().default(false),
  eps: z.number().default(6e-5),
  block_share: z.boolean().default(false),
  use_cayley_neumann: z.boolean().default(true),
  num_cayley_neumann_terms: z.int().default(5),
});

export type OftConfig = z.infer<typeof oftSchema>;

const linearName = "oft_R.weight";
const embeddingName = "oft_embedding_R.weight";

export const oft = tunerMethod<OftConfig>({
  peftType: "OFT",
  schema: oftSchema,
  fields: oftFieldInfo,
  defaultTargets: loraTargets,
  check,
  suffixes: [linearName, embeddingName],
  kinds: ["linear", "embedding"],
  rank: ({ r }) => r || null,
  shapes: (module, config) => {
    const { blocks, size } = blocksOf(rotatedSize(module), config);
    const name = module.kind === "embedding" ? embeddingName : linearName;
    return { [name]: [config.block_share ? 1 : blocks, (size * (size - 1)) / 2] };
  },
  linear: linearEffect,
  embedding: embeddingEffect,
  warnings: ({ use_cayley_neumann: series }, { raw }) =>
    series && isOlder(raw.peft_version)
      ? [
          t(
            "PEFT changed OFT's Cayley-Neumann series in 0.18; this adapter is older and may differ.",
          ),
        ]
      : [],
});

function check({ r, oft_block_size: size }: OftConfig, { raw, file }: AdapterConfig): void {
  if (raw.oft_block_size === undefined) {
    throw unsupported(
      t(
        '{0}: OFT adapters of PEFT 0.13 and older, without field "oft_block_size", mean something else',
        file,
      ),
      t("PEFT itself refuses them since 0.14."),
    );
  }
  if ((r === 0) === (size === 0)) {
    throw new GraftError(
      "bad-file",
      t(
        '{0}: exactly one of the fields "r" ({1}) and "oft_block_size" ({2}) must be 0.',
        file,
        r,
        size,
      ),
      { file, field: "oft_block_size" },
    );
  }
}

function isOlder(version: unknown): boolean {
  const [major = 0, minor = 0] = typeof version === "string" ? version.split(".").map(Number) : [];
  return major === 0 && minor < 18;
}

/** What is rotated: a linear's input, an embedding's output. */
function rotatedSize(module: ModuleInfo): number {
  return module.kind === "linear" ? module.in : module.out;
}

/** The number and size of blocks; what does not divide the features is moved to what does. */
export function blocksOf(features: number, config: OftConfig): { blocks: number; size: number } {
  if (config.r === 0) {
    const size = nearestDivisor(features, config.oft_block_size);
    return { blocks: features / size, size };
  }
  const blocks = nearestDivisor(features, config.r);
  return { blocks, size: features / blocks };
}

/** As PEFT's adjust_oft_parameters; of two equally near divisors the smaller. */
function nearestDivisor(features: number, wanted: number): number {
  if (wanted >= features) return features;
  let [lower, higher] = [wanted, wanted];
  while (features % higher !== 0) higher++;
  while (features % lower !== 0) lower--;
  return wanted - lower <= higher - wanted ? lower : higher;
}

/** R [size, size] of every block, or the one that all share. */
function rotations(upper: Float32Array, size: number, config: OftConfig): Float64Array[] {
  const elements = (size * (size - 1)) / 2;
  // Blocks of size 1 have no element and do not turn.
  const stored = config.block_share || elements === 0 ? 1 : upper.length / elements;
  return Array.from({ length: stored }, (_, i) => {
    const q = skewSymmetric(upper.subarray(i * elements, (i + 1) * elements), size);
    if (config.coft) confine(q, config.eps / Math.sqrt(stored));
    return config.use_cayley_neumann
      ? cayleyNeumann(q, size, config.num_cayley_neumann_terms)
      : cayley(q, size);
  });
}

/** COFT: Q's Frobenius norm stays below a bound. */
function confine(q: Float64Array, bound: number): void {
  const norm = Math.sqrt(q.reduce((sum, value) => sum + value * value, 0));
  if (norm > bound) q.forEach((value, i) => (q[i] = (value * bound) / norm));
}

async function linearEffect(
  module: LinearModule,
  tensors: ModuleTensors,
  context: TunerContext<OftConfig>,
): Promise<LinearEffect> {
  const { size } = blocksOf(module.in, context.config);
  const turns = rotations(tensors.values(linearName), size, context.config);
  const weight = await context.weight(module);
  const turnRows = (matrix: Float32Array, own: number): Float32Array => {
    const out = new Float32Array(matrix.length);
    for (let start = 0; start < matrix.length; start += size) {
      const turn = turns[((start % module.in) / size) % turns.length] as Float64Array;
      turnBack(out, matrix, { start, size, turn, own });
    }
    return out;
  };
  // PEFT turns the input by one active adapter after another.
  const rotation = { rows: (matrix: Float32Array) => turnRows(matrix, 0), firstTurnsFirst: true };
  return { delta: turnRows(weight, -1), rotation };
}

/** One block of a row r of a matrix: r Rᵀ + own · r. */
function turnBack(
  out: Float32Array,
  matrix: Float32Array,
  at: { start: number; size: number; turn: Float64Array; own: number },
): void {
  const { start, size, turn, own } = at;
  for (let column = 0; column < size; column++) {
    let sum = own * (matrix[start + column] as number);
    for (let k = 0; k < size; k++) {
      sum += (matrix[start + k] as number) * (turn[column * size + k] as number);
    }
    out[start + column] = sum;
  }
}

/** Rows e of the table become e R. */
async function embeddingEffect(
  module: ModuleInfo,
  tensors: ModuleTensors,
  context: TunerContext<OftConfig>,
): Promise<EmbeddingEffect> {
  const { size } = blocksOf(module.out, context.config);
  const turns = rotations(tensors.values(embeddingName), size, context.config);
  const table = await context.weight(module);
  const turned = (row: Float32Array, own: number): Float32Array =>
    row.map((value, column) => {
      const start = column - (column % size);
      const turn = turns[(start / size) % turns.length] as Float64Array;
      let sum = own * value;
      for (let k = 0; k < size; k++) {
        sum += (row[start + k] as number) * (turn[k * size + (column % size)] as number);
      }
      return sum;
    });
  return {
    carry: (added) => turned(added, 0),
    rowDelta: (id) => turned(table.subarray(id * module.out, (id + 1) * module.out), -1),
  };
}
