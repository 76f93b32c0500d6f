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
  estimateTraining: ({ config }, context) =>
    estimateTraining(parseRunConfig(config, "run.json"), context),
  exportTrainingJob: ({ config, folder, run }, { emit: onProgress, signal }) =>
    exportJob({ config: parseRunConfig(config, "run.json"), folder, run }, { onProgress, signal }),
};
