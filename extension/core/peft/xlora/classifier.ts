import { t } from "@vscode/l10n";
import { badFile, misfit } from "../../base/errors.ts";
import { elementCount, isSameShape, type Shape, showShape } from "../../base/shape.ts";
import { torchTopK } from "../../base/torchTopK.ts";
import type { AdapterCheckpoint } from "../../checkpoint/adapterCheckpoint.ts";
import type { TensorEntry } from "../../safetensors/header.ts";
import type { XloraConfig } from "./config.ts";

/** A linear layer y = W x + b. */
export interface ClassifierLayer {
  /** [out, in] */
  readonly weight: Float32Array;
  /** [out] */
  readonly bias: Float32Array;
}

const prefix = "base_model.internal_xlora_classifier.";

/** Numbers of the classifier's linear layers: ReLU and, where there is any, dropout count as well. */
function layerNumbers({ xlora_depth: depth, xlora_dropout_p: dropout }: XloraConfig): number[] {
  return Array.from({ length: depth }, (_, i) => i * (dropout > 0 ? 3 : 2));
}

/** The classifier's tensors of a file, layer by layer. */
export interface ClassifierEntries {
  readonly layers: readonly { readonly weight: TensorEntry; readonly bias: TensorEntry }[];
  readonly parameters: number;
  /** Tensors that are none of its. */
  readonly strangers: readonly string[];
}

/**
 * Finds the classifier in an adapter's file.
 * @throws bad-file when layers are missing, which PEFT 0.21 fills with random values
 */
export function findClassifier(
  { weights, config: { file } }: AdapterCheckpoint,
  config: XloraConfig,
): ClassifierEntries {
  const entries = new Map(weights.tensors.map((entry) => [entry.name, entry]));
  const names = layerNumbers(config).map((number) => ({
    weight: `${prefix}layers.${number}.weight`,
    bias: `${prefix}layers.${number}.bias`,
  }));
  const all = names.flatMap(({ weight, bias }) => [weight, bias]);
  const missing = all.filter((name) => !entries.has(name));
  if (missing.length > 0) throw incomplete(weights.file, missing, file);
  const known = new Set(all);
  return {
    layers: names.map(({ weight, bias }) => ({
      weight: entries.get(weight) as TensorEntry,
      bias: entries.get(bias) as TensorEntry,
    })),
    parameters: all.reduce((sum, name) => sum + elementCount(entries.get(name)?.shape ?? []), 0),
    strangers: [...entries.keys()].filter((name) => !known.has(name)),
  };
}

function incomplete(file: string, missing: readonly string[], config: string): Error {
  const shown = missing.map((name) => name.replace("base_model.", "")).join(", ");
  return badFile(
    file,
    t(
      'lacks {0}. PEFT 0.21 leaves out of the file what is numbered like an expert ("0", "1") when it saves X-LoRA, and fills it with random values when it loads',
      shown,
    ),
    t(
      'Add the tensors from the trained model\'s state_dict: those with internal_xlora_classifier in their names, after "base_model.". {0} says how many layers there are.',
      config,
    ),
  );
}

/** @throws misfit where config, file and base disagree about a layer's size */
export function checkClassifier(
  { layers }: ClassifierEntries,
  config: XloraConfig,
  at: { file: string; hidden: number; outputs: number },
): void {
  const { file, hidden, outputs } = at;
  const width = config.xlora_size;
  layers.forEach((layer, i) => {
    const inputs = i === 0 ? hidden : width;
    const out = i === layers.length - 1 ? outputs : width;
    const wanted: [TensorEntry, Shape][] = [
      [layer.weight, [out, inputs]],
      [layer.bias, [out]],
    ];
    for (const [entry, shape] of wanted) {
      if (isSameShape(entry.shape, shape)) continue;
      throw misfit(
        t(
          '{0}: tensor "{1}" is {2}, config, experts and base ask for {3}.',
          file,
          entry.name,
          showShape(entry.shape),
          showShape(shape),
        ),
        { file, tensor: entry.name },
      );
    }
  });
}

/** What the classifier says of tokens, ReLU between layers: [tokens, in] → [tokens, out]. */
export function classify(layers: readonly ClassifierLayer[], hidden: Float32Array): Float32Array {
  let x = hidden;
  layers.forEach((layer, i) => {
    const inputs = layer.weight.length / layer.bias.length;
    x = applyLinear(layer, x, { tokens: x.length / inputs, isLast: i === layers.length - 1 });
  });
  return x;
}

function applyLinear(
  { weight, bias }: ClassifierLayer,
  x: Float32Array,
  { tokens, isLast }: { tokens: number; isLast: boolean },
): Float32Array {
  const out = bias.length;
  const inputs = weight.length / out;
  const y = new Float32Array(tokens * out);
  // A row of the weight serves all tokens while it is in the processor's cache.
  for (let row = 0; row < out; row++) {
    for (let token = 0; token < tokens; token++) {
      let sum = bias[row] as number;
      const [from, at] = [row * inputs, token * inputs];
      for (let i = 0; i < inputs; i++) sum += (weight[from + i] as number) * (x[at + i] as number);
      y[token * out + row] = isLast ? sum : Math.max(0, sum);
    }
  }
  return y;
}

/** Weights of the experts [.., experts] from the classifier's values of the same shape, in place. */
export function gate(values: Float32Array, experts: number, config: XloraConfig): Float32Array {
  for (let start = 0; start < values.length; start += experts) {
    const own = values.subarray(start, start + experts);
    if (config.enable_softmax) softmax(own, config.softmax_temperature);
    chooseExperts(own, config);
  }
  return values;
}

/** `top_k_lora` and `enable_softmax_topk`, of the experts' weights of one token in one layer. */
export function chooseExperts(weights: Float32Array, config: XloraConfig): void {
  const { top_k_lora: count, enable_softmax_topk: again } = config;
  if (count !== undefined && count !== null) {
    const kept = new Set(torchTopK(weights, count));
    weights.forEach((_, i) => kept.has(i) || (weights[i] = 0));
  }
  if (!again) return;
  // What is 0 takes no part, whether it was left out or came out so.
  const rest = weights.map((weight) => (weight === 0 ? -Infinity : weight));
  if (rest.every((weight) => weight === -Infinity)) return;
  softmax(rest, 1);
  weights.set(rest);
}

function softmax(values: Float32Array, temperature: number): void {
  const scaled = Float64Array.from(values, (value) => value / temperature);
  const largest = scaled.reduce((most, value) => Math.max(most, value), -Infinity);
  const powers = scaled.map((value) => Math.exp(value - largest));
  const sum = powers.reduce((total, value) => total + value, 0);
  powers.forEach((power, i) => (values[i] = power / sum));
}
