/** Which trained tensors share a learning rate and a weight decay, as transformers and PEFT group them. */
import { type Shape, totalElements } from "../base/shape.ts";

/** A tensor that is trained, as groups and checkpoints know it. */
export interface TrainedTensor {
  /** PEFT's name in the adapter's file. */
  readonly name: string;
  readonly shape: Shape;
  readonly kind?: "a" | "b" | "embedding" | "bias" | "other" | undefined;
}

/** LoRA+ (https://huggingface.co/papers/2402.12354): PEFT's create_loraplus_optimizer. */
export interface LoraPlusOptions {
  /** Rate of B over the rate of A; at least 1. */
  readonly ratio: number;
  /** Rate of LoRA on embeddings; PEFT's 1e-6 when absent. */
  readonly embeddingRate?: number;
}

/** Tensors with one rate and one decay; their numbers lie together in one vector. */
export interface ParameterGroup {
  readonly tensors: readonly TrainedTensor[];
  /** Numbers of all tensors. */
  readonly size: number;
  /** Highest learning rate. */
  readonly rate: number;
  readonly weightDecay: number;
}

/** transformers.Trainer's forbidden_name_patterns: what weights are never decayed. */
const undecayed = /bias|layernorm|rmsnorm|(?:^|\.)norm(?:$|\.)|_norm(?:$|\.)/;

/** Groups that are not empty, in the order in which a checkpoint lists them. */
export function parameterGroups(
  tensors: readonly TrainedTensor[],
  options: {
    rate: number;
    weightDecay: number;
    /** Biases and norms too. */
    decayAll?: boolean;
    loraPlus?: LoraPlusOptions | undefined;
  },
): ParameterGroup[] {
  const { rate, weightDecay, loraPlus, decayAll = false } = options;
  const isDecayed = ({ name }: TrainedTensor): boolean => decayAll || !undecayed.test(name);
  const all = loraPlus
    ? loraPlusGroups(tensors, { ...options, loraPlus, isDecayed })
    : [
        group(tensors.filter(isDecayed), rate, weightDecay),
        group(
          tensors.filter((tensor) => !isDecayed(tensor)),
          rate,
          0,
        ),
      ];
  return all.filter(({ size }) => size > 0);
}

function loraPlusGroups(
  tensors: readonly TrainedTensor[],
  at: {
    rate: number;
    weightDecay: number;
    loraPlus: LoraPlusOptions;
    isDecayed: (tensor: TrainedTensor) => boolean;
  },
): ParameterGroup[] {
  const { rate, weightDecay, loraPlus, isDecayed } = at;
  const placeOf = (tensor: TrainedTensor): "a" | "embedding" | "b" | "undecayed" => {
    if (tensor.kind === "embedding") return "embedding";
    if (tensor.kind !== "b" && tensor.shape.length !== 1) return "a";
    return isDecayed(tensor) ? "b" : "undecayed";
  };
  const of = (place: string): TrainedTensor[] => tensors.filter((each) => placeOf(each) === place);
  const fast = rate * loraPlus.ratio;
  return [
    group(of("a"), rate, weightDecay),
    group(of("embedding"), loraPlus.embeddingRate ?? 1e-6, weightDecay),
    group(of("b"), fast, weightDecay),
    group(of("undecayed"), fast, 0),
  ];
}

function group(
  tensors: readonly TrainedTensor[],
  rate: number,
  weightDecay: number,
): ParameterGroup {
  const size = totalElements(tensors);
  return { tensors, size, rate, weightDecay };
}
