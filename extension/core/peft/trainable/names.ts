/** The graph input that dropout's masks follow from, int64 [1]. */
export const dropoutSeedName = "dropout.seed";

/** The same of the base's own dropout. */
export const baseDropoutSeedName = "dropout.base.seed";

/** The graph input that tells each text's task, int64 [batch]. */
export const taskIdsName = "task_ids";
