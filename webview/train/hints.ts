/** What a user may want to know before a run: usual rates, what data lose, what would save memory. Pure. */
import type {
  DataPreview,
  RunConfig,
  TrainableCount,
  TrainingSettings,
} from "../../extension/protocol/trainingContract.ts";
import * as format from "../shared/format.ts";
import { type Problems, withSetting } from "./draft.ts";
import { text } from "./strings.ts";

type Range = readonly [low: number, high: number];

/** Low-rank methods and whatever else learns weights of the size of LoRA's (PEFT's examples, QLoRA's paper). */
const usualRates: Range = [1e-4, 5e-4];

/** Methods that train few numbers take bigger steps: rates of their papers and of PEFT's examples. */
const rates: Readonly<Record<string, Range>> = {
  IA3: [1e-3, 1e-2],
  PROMPT_TUNING: [3e-3, 3e-1],
  MULTITASK_PROMPT_TUNING: [3e-3, 3e-1],
  P_TUNING: [1e-3, 3e-2],
  PREFIX_TUNING: [1e-3, 3e-2],
  CPT: [1e-3, 3e-2],
  ADAPTION_PROMPT: [1e-3, 1e-2],
  VERA: [1e-3, 2e-2],
  VBLORA: [1e-3, 1e-2],
  FOURIERFT: [1e-3, 1e-1],
  LN_TUNING: [1e-4, 1e-3],
  BOFT: [1e-4, 1e-3],
  OFT: [1e-4, 1e-3],
};

/** SGD does not divide by the gradients' size, so its steps have to be larger. */
const sgdFactor = 100;

/** Learning rates that are usual for a method. */
export function usualRange(peftType: string, optimizer: TrainingSettings["optimizer"]): Range {
  const [low, high] = rates[peftType] ?? usualRates;
  return optimizer === "sgd" ? [low * sgdFactor, high * sgdFactor] : [low, high];
}

/** Beyond so many times the usual a rate is more likely a slip than a wish. */
const far = 10;

/** Below this a base is a toy that learns only with big steps. */
const tinyParameters = 20e6;

export function rateHint({ adapter, settings }: RunConfig, count: TrainableCount | null): string {
  const peftType = adapter.kind === "new" ? String(adapter.config["peft_type"]) : "LORA";
  const steps = count !== null && count.all < tinyParameters ? 10 : 1;
  const range = usualRange(peftType, settings.optimizer);
  const [low, high] = range.map((rate) => rate * steps) as [number, number];
  const usual = text.usualRate(rateText(low), rateText(high));
  if (settings.learningRate > far * high) return `${usual} ${text.rateHigh}`;
  return settings.learningRate < low / far ? `${usual} ${text.rateLow}` : usual;
}

/** 0.0002 → "2e-4". */
function rateText(rate: number): string {
  return rate < 0.01
    ? Number(rate.toPrecision(3)).toExponential().replace("e-0", "e-")
    : String(Number(rate.toPrecision(3)));
}

/** The longest text where nothing else is asked for. */
export function usualLength(count: TrainableCount | null): number {
  return Math.min(1024, count?.context ?? Infinity);
}

/** What becomes of long texts, as far as the preview has read. */
export function lengthHint(preview: DataPreview | null, count: TrainableCount | null): string {
  const limit = count?.context ? text.contextLimit(format.exactCount(count.context)) : "";
  if (!preview) return limit;
  const { training, evaluation, isWhole } = preview;
  const sum = (of: (half: DataPreview["training"]) => number): string =>
    format.exactCount(of(training) + of(evaluation));
  const longest = format.exactCount(Math.max(training.longest, evaluation.longest));
  const cut = training.cut + evaluation.cut;
  const empty = training.withoutLearned + evaluation.withoutLearned;
  const among = sum((half) => half.examples);
  return [
    isWhole ? text.longestOf(longest, among) : text.longestOfFirst(longest, among),
    cut > 0 &&
      text.cutLoses(
        sum((half) => half.cut),
        sum((half) => half.cutTokens),
      ),
    empty > 0 && text.leftOut(sum((half) => half.withoutLearned)),
    cut === 0 && empty === 0 && text.noneCut,
    limit,
  ]
    .filter(Boolean)
    .join(" ");
}

/** As PEFT's print_trainable_parameters says it. */
export function trainableLine({ trained, all }: TrainableCount): string {
  const share = all === 0 ? 0 : (100 * trained) / all;
  const [one, two] = [trained, all].map((count) => count.toLocaleString("en-US"));
  return `trainable params: ${one} || all params: ${two} || trainable%: ${share.toFixed(4)}`;
}

export interface Advice {
  readonly id: string;
  readonly label: string;
  readonly apply: (draft: RunConfig) => RunConfig;
}

/** What makes a run smaller, what costs least first. */
export function memoryAdvice({ settings, dtype, data }: RunConfig): Advice[] {
  const advice: Advice[] = [];
  const { batchSize, gradientAccumulation } = settings;
  if (batchSize > 1) {
    const half = Math.ceil(batchSize / 2);
    advice.push({
      id: "smaller-batch",
      label: text.smallerBatch(half, gradientAccumulation * 2),
      apply: (draft) => {
        const smaller = withSetting(draft, "batchSize", half);
        return withSetting(smaller, "gradientAccumulation", gradientAccumulation * 2);
      },
    });
  }
  if (!settings.gradientCheckpointing) {
    advice.push({
      id: "checkpoint-gradients",
      label: text.gradientCheckpointing,
      apply: (draft) => withSetting(draft, "gradientCheckpointing", true),
    });
  }
  if (dtype !== "int4") {
    const label = text.keepIn("int4");
    advice.push({ id: "int4", label, apply: (draft) => ({ ...draft, dtype: "int4" }) });
  }
  const longest = data.maxLength ?? 1024;
  if (longest > 256) {
    const maxLength = Math.ceil(longest / 2);
    advice.push({
      id: "shorter",
      label: text.shorter(format.exactCount(maxLength)),
      apply: (draft) => ({ ...draft, data: { ...draft.data, maxLength } }),
    });
  }
  return advice;
}

export type PreviewState =
  | { kind: "none" }
  | { kind: "reading" }
  | { kind: "failed"; message: string }
  | { kind: "shown"; preview: DataPreview };

/** What of the data would keep a run from starting, by the field that it is about. */
export function previewProblems(state: PreviewState, skipsBroken: boolean): Problems {
  if (state.kind === "failed") return { files: state.message };
  if (state.kind !== "shown") return {};
  const { broken, training } = state.preview;
  const isStopped = broken > 0 && !skipsBroken;
  const isEmpty = training.examples > 0 && training.rows === 0;
  return {
    ...(isStopped && { files: text.brokenStops(format.exactCount(broken)) }),
    ...(isEmpty && { maxLength: text.nothingLeft }),
  };
}
