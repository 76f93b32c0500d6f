import { t } from "@vscode/l10n";
import { GraftError, throwIfAborted } from "./base/errors.ts";
import type { BaseModel } from "./baseModel.ts";
import type { OnProgress } from "./base/progress.ts";
import type { CausalModel } from "./models/causalModel.ts";
import { type AdapterFeed, adapterInputs } from "./session/adapterInputs.ts";
import { CausalSession } from "./session/causalSession.ts";
import { float32Tensor, int64Tensor, OrtSession, type Tensor } from "./session/ortSession.ts";

/** What adapters' inputs are fed, by their names. */
export type ProbeInputs = ReadonlyMap<string, AdapterFeed>;

const probeText = "The quick brown fox jumps over the lazy dog.";

/** Logits may differ by so much of the largest: both are fp32, summed in another order. */
const tolerance = 1e-3;

/**
 * Runs a written model over a prompt and one token more, through its cache, beside a session of Graft
 * over the same weights.
 * @returns the largest difference of a logit
 * @throws internal when the written model says something else
 */
export async function checkExport(
  base: BaseModel,
  file: string,
  at: {
    reference: { model: CausalModel; inputs: ProbeInputs };
    onProgress?: OnProgress;
    signal?: AbortSignal;
  },
): Promise<number> {
  at.onProgress?.({ step: t("Checking the written model") });
  throwIfAborted(at.signal);
  const { model, inputs } = at.reference;
  const ids = probeIds(base, model);
  const truth = await sessionLogits(model, { ids, inputs });
  throwIfAborted(at.signal);
  const own = await exportLogits(file, { ids, inputs, model });
  const largest = truth.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
  const difference = own.reduce(
    (most, value, i) => Math.max(most, Math.abs(value - (truth[i] as number))),
    0,
  );
  if (own.length === truth.length && difference <= tolerance * largest) return difference;
  throw new GraftError(
    "internal",
    t(
      "The written model was run and its logits differ by {0} from Graft's. It was removed.",
      difference.toPrecision(3),
    ),
  );
}

function probeIds({ tokenizer }: BaseModel, { vocabulary }: CausalModel): number[] {
  const ids = tokenizer?.encode(probeText) ?? [1, 2, 3, 4, 5, 6];
  return ids.slice(0, 12).map((id) => id % vocabulary);
}

interface Probe {
  readonly ids: readonly number[];
  readonly inputs: ProbeInputs;
}

/** Logits behind the prompt, and behind its first token once more. */
async function sessionLogits(model: CausalModel, { ids, inputs }: Probe): Promise<Float32Array> {
  const session = await CausalSession.create(model);
  try {
    const state = session.start(adapterInputs([...inputs.values()]));
    const first = (await session.forward(state, [ids])).data;
    const second = (await session.forward(state, [ids.slice(0, 1)])).data;
    return Float32Array.of(...first, ...second);
  } finally {
    await session.dispose();
  }
}

async function exportLogits(
  file: string,
  { ids, inputs, model }: Probe & { model: CausalModel },
): Promise<Float32Array> {
  const session = await OrtSession.open(file);
  try {
    const empty = float32Tensor(new Float32Array(0), [1, model.keyValueHeads, 0, model.headDim]);
    const feeds: Record<string, Tensor> = {};
    for (const { name, data, shape } of inputs.values()) feeds[name] = float32Tensor(data, shape);
    for (const name of session.inputNames) {
      if (name.startsWith("past_key_values.")) feeds[name] = empty;
    }
    const first = await session.run({ ...feeds, ...tokenFeeds(ids, 0) });
    for (const [name, value] of Object.entries(first)) {
      if (name.startsWith("present.")) feeds[name.replace("present", "past_key_values")] = value;
    }
    const second = await session.run({ ...feeds, ...tokenFeeds(ids.slice(0, 1), ids.length) });
    return Float32Array.of(...lastRow(first, model), ...lastRow(second, model));
  } finally {
    await session.dispose();
  }
}

function tokenFeeds(ids: readonly number[], past: number): Record<string, Tensor> {
  const shape = [1, ids.length];
  const seen = Array.from({ length: past + ids.length }, () => 1);
  return {
    input_ids: int64Tensor(ids, shape),
    attention_mask: int64Tensor(seen, [1, seen.length]),
    position_ids: int64Tensor(
      ids.map((_, i) => past + i),
      shape,
    ),
  };
}

function lastRow({ logits }: Record<string, Tensor>, { vocabulary }: CausalModel): Float32Array {
  return ((logits as Tensor).data as Float32Array).slice(-vocabulary);
}
