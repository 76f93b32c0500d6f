/** The sentences that a config is told in; plainWords.ts chooses among them. */
import { t } from "../shared/l10n.ts";

export const words = {
  is: (name: string, method: string) => t("{0} is a {1} adapter.", name, method),
  isOn: (name: string, method: string, base: string) =>
    t("{0} is a {1} adapter, trained on {2}.", name, method, base),
  isFor: (name: string, method: string, purpose: string) =>
    t("{0} is a {1} adapter, trained {2}.", name, method, purpose),
  isOnFor: (name: string, method: string, base: string, purpose: string) =>
    t("{0} is a {1} adapter, trained on {2} {3}.", name, method, base, purpose),
  purposes: {
    CAUSAL_LM: t("to write text"),
    SEQ_2_SEQ_LM: t("to turn one text into another"),
    SEQ_CLS: t("to sort texts into classes"),
    TOKEN_CLS: t("to label words"),
    QUESTION_ANS: t("to find answers in a text"),
    FEATURE_EXTRACTION: t("to turn texts into numbers"),
  } as Record<string, string>,

  /** What each kind of method does to the modules that it targets. */
  does: {
    lowRank: (where: string) => t("It adds an update of low rank to the weights of {0}.", where),
    product: (where: string) =>
      t("It adds a product of small matrices to the weights of {0}.", where),
    rotation: (where: string) => t("It rotates the weights of {0}.", where),
    scale: (where: string) => t("It scales what flows through {0}.", where),
    shift: (where: string) => t("It shifts the outputs of {0}.", where),
    sparse: (where: string) => t("It changes few entries of the weights of {0}.", where),
    spectral: (where: string) =>
      t("It changes the weights of {0} by a few coefficients of a transform.", where),
    replaced: (where: string) => t("It brings trained weights of its own for {0}.", where),
    any: (where: string) => t("It changes {0}.", where),
  },
  virtualTokens: (count: number) =>
    t("It leaves every weight alone and puts {0} learned tokens before every prompt.", count),
  cachePrefix: (count: number) =>
    t(
      "It leaves every weight alone and puts {0} learned keys and values before every prompt, in each layer.",
      count,
    ),
  adaptionPrompt: (layers: number, count: number) =>
    t("Its {0} upper layers attend to {1} learned prompts, through a gate.", layers, count),
  someTokens: (count: number) => t("It retrains the embeddings of {0} tokens.", count),

  inLayers: (modules: number, names: string, layers: string) =>
    t("{0} modules ({1}) in {2}", modules, names, layers),
  outsideLayers: (modules: number, names: string) => t("{0} modules ({1})", modules, names),
  oneModule: (name: string) => t("one module ({0})", name),
  allLayers: (count: number) => t("all {0} layers", count),
  someLayers: (count: number, list: string) => t("{0} layers ({1})", count, list),
  oneLayer: (name: string) => t("one layer ({0})", name),
  andMore: (names: string, more: number) => t("{0} and {1} more", names, more),

  rank: (rank: string) => t("Each update has rank {0}.", rank),
  rankScaled: (rank: string, scale: string, sum: string) =>
    t("Each update has rank {0} and counts {1} times ({2}).", rank, scale, sum),
  ranks: (low: string, high: string) => t("Ranks run from {0} to {1}.", low, high),
  ratio: (alpha: string, rank: string) => t("α {0} ÷ r {1}", alpha, rank),
  rootRatio: (alpha: string, rank: string) => t("α {0} ÷ √{1}", alpha, rank),

  dora: t("How long and in which direction weights point was trained apart (DoRA)."),
  alora: t("It begins to act only where its invocation tokens stand in the prompt (aLoRA)."),
  init: (how: string) => t("Its weights began as {0}.", how),
  biases: (which: string) => t("Biases were trained too ({0}).", which),
  saved: (modules: string) => t("Trained in full and stored whole: {0}.", modules),
  tokens: t("The embeddings of some tokens were retrained."),
  dropout: (share: string) =>
    t("In training {0} of the inputs were dropped; that plays no part now.", share),
  reversed: t("The base keeps its weights turned around (Conv1D)."),
  size: (parameters: string, dtypes: string, bytes: string) =>
    t("In all it has {0} numbers in {1}: {2}.", parameters, dtypes, bytes),
  sizeOfBase: (size: [string, string, string], share: string) =>
    t("In all it has {0} numbers in {1}: {2}, {3} of the base.", ...size, share),
  moves: (relative: string) =>
    t("It moves the weights that it touches by {0} of their size.", relative),
  movesMost: (relative: string, share: string, row: string) =>
    t(
      "It moves the weights that it touches by {0} of their size; {1} of the change lies in {2}.",
      relative,
      share,
      row,
    ),
} as const;
