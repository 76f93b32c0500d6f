/** The graph input that dropout's masks follow from, int64 [1]. */
export const dropoutSeedName = "dropout.seed";
