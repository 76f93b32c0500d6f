/** The graph input that dropout's masks follow from, int64 [1]. */
export const dropoutSeedName = "dropout.seed";

/** The graph input that tells each text's task, int64 [batch]. */
export const taskIdsName = "task_ids";
