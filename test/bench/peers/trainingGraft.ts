// Graft as a party of test/bench/training.ts: the trainer's own step and update, without a run's files.
import { continued } from "../../../extension/core/adapterStart.ts";
import { openTrainingBase } from "../../../extension/core/trainingBase.ts";
import { prepareTraining } from "../../../extension/core/prepareTraining.ts";
import { runtimeLabel } from "../../../extension/core/session/ortSession.ts";
import type { Batch } from "../../../extension/core/train/data/batch.ts";
import { trainingOptions } from "../../../extension/core/train/options.ts";
import { TrainingModel } from "../../../extension/core/train/trainingModel.ts";
import { type Party, serve, timed } from "./serve.ts";

let model: TrainingModel | null = null;

const party: Party = {
  async train({ model: folder, adapter, threads, learningRate }) {
    const [opened, taken] = await timed(async () => {
      const start = await continued(adapter);
      const base = await openTrainingBase(folder);
      const parts = await prepareTraining(base, start, { seed: 0 });
      const options = trainingOptions.parse({ learningRate, schedule: { type: "constant" } });
      return TrainingModel.create(parts, options, { threads });
    });
    model = opened;
    return { samples: [taken], version: runtimeLabel };
  },

  async learn({ count, ids }) {
    if (!model) throw new Error("Nothing is open.");
    const batch = batchOf(ids);
    const [samples, processor, losses]: [number[], number[], number[]] = [[], [], []];
    for (let i = 0; i < count; i++) {
      const before = process.cpuUsage();
      const [loss, taken] = await timed(() => stepOf(model as TrainingModel, batch));
      const { user, system } = process.cpuUsage(before);
      samples.push(taken);
      processor.push((user + system) / 1000);
      losses.push(loss);
    }
    return { samples, processor, losses };
  },
};

async function stepOf(own: TrainingModel, batch: Batch): Promise<number> {
  const loss = await own.step(batch, { share: 1 / own.termsOf(batch), seed: 0 });
  await own.parameters.update(own.session, { factor: 1, limit: 1 });
  return loss;
}

/** Texts of one length that are learned whole. */
function batchOf(ids: readonly (readonly number[])[]): Batch {
  const [rows, length] = [ids.length, ids[0]?.length ?? 0];
  const inputIds = Int32Array.from(ids.flat());
  return {
    rows,
    length,
    inputIds,
    attentionMask: new Int32Array(rows * length).fill(1),
    labels: inputIds,
    learnedTokens: rows * (length - 1),
    tokens: rows * length,
  };
}

await serve(party);
