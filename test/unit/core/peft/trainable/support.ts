/** Runs training forms as models, to compare them with what PEFT computed. */
import { readFile } from "node:fs/promises";
import * as path from "node:path";
import { torchGenerator } from "../../../../../extension/core/base/torchRandom.ts";
import { describeBase } from "../../../../../extension/core/baseModel.ts";
import { openAdapterCheckpoint } from "../../../../../extension/core/checkpoint/adapterCheckpoint.ts";
import type { BaseCheckpoint } from "../../../../../extension/core/checkpoint/baseCheckpoint.ts";
import { buildModel } from "../../../../../extension/core/models/index.ts";
import { openCheckpoint } from "../../../../../extension/core/models/openCheckpoint.ts";
import { trainableMethodOf } from "../../../../../extension/core/peft/trainable/index.ts";
import { taskIdsName } from "../../../../../extension/core/peft/trainable/names.ts";
import { storedValues } from "../../../../../extension/core/peft/trainable/storedValues.ts";
import type {
  ParameterValues,
  TrainableAdapter,
} from "../../../../../extension/core/peft/trainable/trainable.ts";
import { adapterInputs } from "../../../../../extension/core/session/adapterInputs.ts";
import { CausalSession } from "../../../../../extension/core/session/causalSession.ts";
import { EncoderSession } from "../../../../../extension/core/session/encoderSession.ts";
import { ImageSession } from "../../../../../extension/core/session/imageSession.ts";
import { int64Tensor, type Tensor } from "../../../../../extension/core/session/ortSession.ts";
import { Seq2SeqSession } from "../../../../../extension/core/session/seq2seqSession.ts";
import type {
  Batch,
  RunningSession,
} from "../../../../../extension/core/session/runningSession.ts";
import { batchOf } from "../../../../golden/adapterCase.ts";
import { readTruths } from "../../../../golden/truth.ts";
import { difference, fixtures } from "../../support.ts";

async function sessionOf(
  checkpoint: BaseCheckpoint,
  { hook, layers }: TrainableAdapter,
): Promise<RunningSession> {
  const model = buildModel(checkpoint, hook, layers);
  switch (model.kind) {
    case "causal":
      return CausalSession.create(model, { threads: 1 });
    case "encoder":
      return EncoderSession.create(model, { threads: 1 });
    case "image":
      return ImageSession.create(model, { threads: 1 });
    case "seq2seq":
      return Seq2SeqSession.create(model, { threads: 1 });
    default:
      return model satisfies never;
  }
}

/** Texts are of the tasks 0, 1, …, as many as there are. */
function taskIdsOf(batch: Batch): Tensor {
  const rows = batch.kind === "tokens" ? batch.ids.length : 1;
  return int64Tensor([...new Array<number>(rows).keys()], [rows]);
}

/** The logits of a training form with these values. */
export async function trainedLogits(
  checkpoint: BaseCheckpoint,
  adapter: TrainableAdapter,
  at: { values: ParameterValues; batch: Batch; seed?: number },
): Promise<Float32Array> {
  const { values, batch, seed = 0 } = at;
  const session = await sessionOf(checkpoint, adapter);
  try {
    const feeds = adapter.parameters.map(({ name, shape }) => {
      const data = values.get(name);
      if (!data) throw new Error(`${name} has no value`);
      return { name, shape, data };
    });
    const inputs = adapterInputs(feeds);
    const { dropoutSeed } = adapter;
    const seeds: [string, Tensor][] =
      dropoutSeed === null ? [] : [[dropoutSeed, int64Tensor([seed], [1])]];
    const tasks: [string, Tensor][] =
      adapter.tasks === undefined ? [] : [[taskIdsName, taskIdsOf(batch)]];
    const tensors = new Map([...inputs.tensors, ...seeds, ...tasks]);
    return (await session.predict(batch, { ...inputs, tensors })).data;
  } finally {
    await session.dispose();
  }
}

/** How far a training form with an adapter's stored values is from PEFT's logits of it. */
export async function differenceFromPeft(name: string): Promise<number> {
  const folder = path.join(fixtures, "adapters", name);
  const expected = JSON.parse(await readFile(path.join(folder, "expected.json"), "utf8")) as {
    model: string;
  };
  const truths = await readTruths(path.join(folder, "expected.safetensors"));
  const checkpoint = await openCheckpoint(path.join(fixtures, expected.model));
  const base = describeBase(checkpoint);
  const stored = await openAdapterCheckpoint(folder);
  const method = trainableMethodOf(stored.config);
  await method.look?.(stored.config, base);
  const adapter = method.prepare(stored.config, base, { isQuiet: true });
  const initial = await method.initialize(adapter, base, { random: torchGenerator(0) });
  const { values } = await storedValues(adapter, stored, { initial, base });
  const { ids, mask, tokenTypes, pixels, decoderIds } = batchOf(truths);
  const attentionMask = mask.map((row) => Uint8Array.from(row));
  const batch = pixels ?? { kind: "tokens" as const, ids, attentionMask, tokenTypes, decoderIds };
  const actual = await trainedLogits(checkpoint, adapter, { values, batch });
  const truth = truths.get("adapter_logits");
  if (!truth) throw new Error(`${name} has no truth`);
  return masked(actual, truth.data as Float32Array, mask);
}

/** The largest difference at tokens that are none of the padding. */
function masked(actual: Float32Array, truth: Float32Array, mask: number[][]): number {
  if (actual.length !== truth.length) return Infinity;
  const tokens = mask.flat();
  const width = actual.length / tokens.length;
  if (!Number.isInteger(width)) return difference(actual, truth);
  const real = (values: Float32Array): Float32Array =>
    values.filter((_, i) => tokens[Math.floor(i / width)] === 1);
  return difference(real(actual), real(truth));
}
