import type { Handlers } from "../../protocol/connection.ts";
import type { TrainingContract } from "../../protocol/trainingContract.ts";
import { countTrainable } from "./countTrainable.ts";
import { dataColumns } from "./dataColumns.ts";
import { estimateTraining } from "./estimate.ts";
import { exportJob } from "./export/exportJob.ts";
import { parseRunConfig } from "./runConfig.ts";
import { openRunData, previewOf } from "./runData.ts";

/** Records that a preview reads when it is not told how many. */
const previewed = 200;

/** What the engine answers before a run. */
export const trainingHandlers: Handlers<TrainingContract> = {
  previewTrainingData: async (
    { base, data, examples, limit = previewed },
    { emit: onProgress, signal },
  ) => {
    // A preview shows what is broken beside what is not; only a run refuses.
    const whole = { ...data, skipBroken: true };
    const options = { examples, limit, mayBeEmpty: true, onProgress, signal };
    const { dataset } = await openRunData(base, whole, options);
    try {
      return previewOf(dataset);
    } finally {
      dataset.dispose();
    }
  },
  describeTrainingData: ({ files }, { signal }) => dataColumns(files, signal),
  countTrainable: (params, { signal }) => countTrainable(params, signal),
  estimateTraining: ({ config, ...place }, context) =>
    estimateTraining({ config: parseRunConfig(config, "run.json"), ...place }, context),
  exportTrainingJob: (
    { config, folder, run, quantCache: quantCacheDir },
    { emit: onProgress, signal },
  ) => {
    const request = { config: parseRunConfig(config, "run.json"), folder, run };
    return exportJob(request, { onProgress, signal, quantCacheDir });
  },
};
