/**
 * VB-LoRA (https://arxiv.org/abs/2405.15179; PEFT tuners/vblora): LoRA whose factors are put together
 * from one bank of vectors. Each piece of `vector_length` numbers of A and B is a mixture of the `topk`
 * vectors with the highest logits, weighed by their softmax. Run time: the low-rank path, unscaled.
 * With save_only_topk_weights the file holds the chosen vectors and all weights but the last instead.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { badFile, misfit } from "../base/errors.ts";
import type { Shape } from "../base/shape.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { vbLoraTargets } from "./defaultTargets.ts";
import type { FieldInfo } from "./method.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

const biases = z.enum(["none", "all", "vblora_only"], t("It must be none, all or vblora_only."));

const schema = z.looseObject({
  ...tunerFields,
  r: wholeNumber.default(4),
  num_vectors: wholeNumber.default(256),
  vector_length: wholeNumber.default(256),
  topk: wholeNumber.default(2),
  save_only_topk_weights: z.boolean().default(false),
  bias: biases.default("none"),
});

export type VbLoraConfig = z.infer<typeof schema>;

const fields: Readonly<Record<string, FieldInfo>> = {
  r: { default: 4, meaning: t("Rank: how many directions each module's update has.") },
  num_vectors: { default: 256, meaning: t("Vectors in the bank that all modules share.") },
  vector_length: {
    default: 256,
    meaning: t("Length of a vector; it divides every layer's sizes."),
  },
  topk: { default: 2, meaning: t("How many vectors each piece of a factor is mixed from.") },
  save_only_topk_weights: {
    default: false,
    meaning: t("Only the weights of the mixtures are stored."),
  },
  vblora_dropout: { default: 0, meaning: t("Dropout in training; no effect on answers.") },
  fan_in_fan_out: { default: false, meaning: t("The base stores its weights as [in, out].") },
  bias: { default: "none", meaning: t("Which biases were trained and are stored.") },
  init_vector_bank_bound: { default: 0.02, meaning: t("Range of the bank before training.") },
  init_logits_std: { default: 0.1, meaning: t("Spread of the logits before training.") },
};

const bankName = "vblora_vector_bank";
const [logitsA, logitsB] = ["vblora_logits_A", "vblora_logits_B"];

export const vbLora = tunerMethod<VbLoraConfig>({
  peftType: "VBLORA",
  schema,
  fields,
  defaultTargets: vbLoraTargets,
  suffixes: [logitsA, logitsB].flatMap((name) => [
    name,
    `${name}_topk_indices`,
    `${name}_topk_weights`,
  ]),
  shared: [bankName],
  // What is stored of a mixture is not what is trained: PEFT trains its logits over the whole bank.
  frozen: [/_topk_(indices|weights)$/],
  unstored: ({ r, vector_length: length, ...config }, module) => {
    const size = module.kind === "linear" ? (r * (module.in + module.out)) / length : 0;
    const rebuilt = config.save_only_topk_weights ? size * config.num_vectors : 0;
    return { trained: 0, frozen: 0, rebuilt };
  },
  kinds: ["linear"],
  rank: ({ r }) => r,
  shapes: (module, config, file): Record<string, Shape> => {
    if (module.kind !== "linear") return {};
    const [columns, rows] = pieces(module, config, file);
    const { r, topk, num_vectors: count, save_only_topk_weights: isShort } = config;
    const shapesOf = (name: string, first: number, second: number): Record<string, Shape> =>
      isShort
        ? {
            [`${name}_topk_indices`]: [first, second, topk],
            [`${name}_topk_weights`]: [first, second, topk - 1],
          }
        : { [name]: [first, second, count] };
    return { ...shapesOf(logitsA, r, columns), ...shapesOf(logitsB, rows, r) };
  },
  linear: (module, tensors, context) => {
    const { r: rank, vector_length: length } = context.config;
    // A: [rank, pieces, length] is [rank, in] already; B: [pieces, rank, length] → [out, rank].
    const a = mixed(context, tensors, logitsA);
    const parts = mixed(context, tensors, logitsB);
    const b = Float32Array.from({ length: module.out * rank }, (_, i) => {
      const [row, column] = [Math.floor(i / rank), i % rank];
      const piece = Math.floor(row / length) * rank + column;
      return parts[piece * length + (row % length)] as number;
    });
    return { lowRank: { a, b, rank } };
  },
});

/** How many vectors lie side by side along a layer's input and output. */
export function pieces(module: LinearModule, config: VbLoraConfig, file: string): [number, number] {
  const { vector_length: length } = config;
  if (module.in % length !== 0 || module.out % length !== 0) {
    throw misfit(
      t(
        '{0}: field "vector_length" is {1}, which does not divide the sizes of {2}, [{3}, {4}].',
        file,
        length,
        module.path,
        module.out,
        module.in,
      ),
    );
  }
  return [module.in / length, module.out / length];
}

/** Every piece of a factor as its mixture of the bank's vectors: [pieces, vector_length]. */
function mixed(
  { config, shared, file }: TunerContext<VbLoraConfig>,
  tensors: ModuleTensors,
  name: string,
): Float32Array {
  const { topk, num_vectors: count, vector_length: length } = config;
  const bank = shared.values(bankName);
  if (bank.length !== count * length) {
    throw badFile(
      file,
      t("its bank has {0} numbers, not {1} vectors of {2}", bank.length, count, length),
    );
  }
  const mixtures = config.save_only_topk_weights
    ? storedMixtures(tensors, name, topk)
    : chosenMixtures(tensors.values(name), count, topk);
  const out = new Float32Array(mixtures.length * length);
  mixtures.forEach((mixture, piece) => {
    for (let i = 0; i < length; i++) {
      let sum = 0;
      for (const { index, weight } of mixture) sum += weight * (bank[index * length + i] as number);
      out[piece * length + i] = sum;
    }
  });
  return out;
}

type Mixture = readonly { readonly index: number; readonly weight: number }[];

/** The highest of each piece's logits [pieces, count], through a softmax among themselves. */
function chosenMixtures(logits: Float32Array, count: number, topk: number): Mixture[] {
  return Array.from({ length: logits.length / count }, (_, piece) => {
    const own = logits.subarray(piece * count, (piece + 1) * count);
    const best = Array.from(own, (logit, index) => ({ index, logit }))
      .sort((x, y) => y.logit - x.logit)
      .slice(0, topk);
    const exponents = best.map(({ logit }) => Math.exp(logit - (best[0]?.logit ?? 0)));
    const sum = exponents.reduce((total, value) => total + value, 0);
    return best.map(({ index }, i) => ({ index, weight: (exponents[i] as number) / sum }));
  });
}

/** The stored weights; the last one is what the others leave of 1. */
function storedMixtures(tensors: ModuleTensors, name: string, topk: number): Mixture[] {
  const indices = tensors.integers(`${name}_topk_indices`);
  const weights = tensors.values(`${name}_topk_weights`);
  return Array.from({ length: indices.length / topk }, (_, piece) => {
    const own = [...weights.subarray(piece * (topk - 1), (piece + 1) * (topk - 1))];
    own.push(1 - own.reduce((sum, weight) => sum + weight, 0));
    return own.map((weight, i) => ({ index: indices[piece * topk + i] as number, weight }));
  });
}
