/** Every sentence of the inspector, in one place for translation. */
import { t } from "../shared/l10n.ts";

export const text = {
  reading: t("Reading the adapter…"),
  unreadable: t("This adapter cannot be read"),
  openRawConfig: t("Open adapter_config.json"),
  compareWith: t("Compare with…"),
  merge: t("Merge…"),
  more: t("More Actions…"),

  rank: (rank: string) => t("r {0}", rank),
  alpha: (alpha: string) => t("α {0}", alpha),
  scale: (scale: string) => t("scale {0}", scale),
  forBase: (base: string) => t("for {0}", base),
  trainedOn: (base: string) => t("trained on {0}", base),
  baseUnknown: t("its config names no base model"),
  noBase: t("no base loaded"),
  bound: (bound: number, total: number) => t("{0} of {1} modules bound", bound, total),
  modules: (modules: number) => (modules === 1 ? t("1 module") : t("{0} modules", modules)),
  parameters: (parameters: string) => t("{0} parameters", parameters),
  parametersOfBase: (parameters: string, share: string) =>
    t("{0} parameters, {1} of base", parameters, share),
  activeAt: (weight: string) => t("Active ×{0}", weight),
  loaded: t("Loaded"),

  activate: t("Activate"),
  activating: t("Activating…"),
  deactivate: t("Deactivate"),
  tryInPlayground: t("Try in playground"),
  loadItsBase: t("Load its base"),
  loadingBase: t("Loading base…"),
  andMore: (rest: string) => t("… and {0} more", rest),

  cannotRun: (method: string) => t("Graft cannot run this {0} adapter yet", method),
  cannotRunDetail: t("It can be inspected here, but not loaded."),
  doesNotFit: (adapter: string, base: string) => t("{0} does not fit {1}", adapter, base),
  wasTrainedOn: (base: string) => t("It was trained on {0}.", base),
  unbound: (amount: number, base: string) =>
    amount === 1
      ? t("1 module finds no place in {0}", base)
      : t("{0} modules find no place in {1}", amount, base),
  unexpected: (amount: number) =>
    amount === 1 ? t("1 tensor is not expected") : t("{0} tensors are not expected", amount),
  unexpectedDetail: t("These tensors of the file belong to no module that the config names."),
  warning: t("Warning"),
  error: t("Error"),
  note: t("Note"),

  whatItChanges: t("What it changes"),
  nothingChanged: t("No target module was recognised in this adapter's files."),
  gridHelp: t(
    "Point at a cell, or move through the grid with the arrow keys. Enter shows its spectrum.",
  ),
  gridLabel: (measure: string) => t("{0} by layer and module", measure),
  notTargeted: t("not targeted"),
  notInBase: t("no place in the base"),
  show: t("Show"),
  module: t("Module"),
  alphaHeading: t("α"),
  scaleHeading: t("Scale"),
  inOut: t("In × out"),
  dtype: t("Dtype"),
  cellInOut: (inOut: string) => t("{0} (in × out)", inOut),
  cellModules: (amount: number, first: string) => t("{0} modules, first {1}", amount, first),
  fact: (name: string, value: string) => t("{0} {1}", name, value),

  metrics: {
    parameters: { label: t("Parameters"), help: t("Numbers that the file has for the module.") },
    rank: { label: t("Rank"), help: t("As the config has it.") },
    norm: {
      label: t("‖ΔW‖"),
      help: t("Size of the change of the weight: the root of the sum of its squares."),
    },
    relative: {
      label: t("Relative"),
      help: t("‖ΔW‖ ÷ ‖W‖: size of the change against the size of the base's weight."),
    },
    effectiveRank: {
      label: t("Eff. rank"),
      help: t(
        "How many directions the change really uses: exp of the entropy of its singular values.",
      ),
    },
    largest: {
      label: t("Largest σ"),
      help: t("The largest singular value: how far the change can stretch one direction."),
    },
    intruders: {
      label: t("Intruders"),
      help: t(
        "Leading directions of the changed weight that are unlike any direction of the base.",
      ),
    },
  },

  analyzing: t("Computing what the adapter changes…"),
  analyzingStep: (step: string, share: string) => t("{0} {1}", step, share),
  cancel: t("Cancel"),
  cancelled: t("Stopped. The numbers that need the weights are missing."),
  compute: t("Compute"),
  noAnalysis: t("The numbers could not be computed"),
  again: t("Try again"),
  needsBase: t("Without the base there is nothing to compare with."),
  findIntruders: t("Look for intruder dimensions"),
  findingIntruders: t("Looking for intruder dimensions…"),
  intrudersCost: t("Takes a whole decomposition of every weight of the base."),
  intrudersFound(amount: number, topK: number, threshold: string): string {
    if (amount === 0)
      return t(
        "No intruder among the {0} leading directions of each module (likeness below {1}).",
        topK,
        threshold,
      );
    if (amount === 1)
      return t(
        "1 intruder among the {0} leading directions of each module (likeness below {1}).",
        topK,
        threshold,
      );
    return t(
      "{0} intruders among the {1} leading directions of each module (likeness below {2}).",
      amount,
      topK,
      threshold,
    );
  },

  spectrum: t("Spectrum"),
  spectrumOf: (module: string) => t("Spectrum of {0}", module),
  spectrumOfAll: t("Spectrum of the whole adapter"),
  spectrumOfAllHelp: t(
    "How much of the change the first directions of every module hold together. Choose a cell above for one module.",
  ),
  wholeAdapter: t("Whole adapter"),
  direction: t("direction"),
  singularValue: t("singular value σ"),
  energyShare: t("energy"),
  energyUpTo: t("Energy up to here"),
  effectiveRank: (rank: string) => t("effective rank {0}", rank),
  effectiveRankOf: (rank: string, of: string) => t("effective rank {0} of {1}", rank, of),
  energyIn: (share: string, ranks: number, of: number) =>
    t("{0} of the energy in {1} of {2} directions", share, ranks, of),
  largest: (value: string) => t("largest σ {0}", value),
  stableRank: (value: string) => t("stable rank {0}", value),
  leadingOnly: (amount: number) => t("Only the {0} leading singular values are known.", amount),
  noSpectrum: t("There is no spectrum of this module."),
  measureModule: t("Compute its spectrum"),
  moduleChoice: t("Module in this cell"),
  directionHeading: t("Direction"),
  spectrumLabel: (name: string, facts: string) => t("{0}: {1}", name, facts),

  cost: t("At run time"),
  costNothing: t("It costs nothing at run time."),
  costMemory: (bytes: string, share: string) =>
    t("{0} of memory while it is active, {1} of the base's linear layers.", bytes, share),
  costMemoryOnly: (bytes: string) => t("{0} of memory while it is active.", bytes),
  costTime: (flops: string, share: string) =>
    t("{0} more operations for a token, {1} of the base's.", flops, share),
  costTimeOnly: (flops: string) => t("{0} more operations for a token.", flops),
  costTokens: (tokens: number) => t("{0} more tokens stand before every prompt.", tokens),
  costPart: t("Part"),
  costModules: t("Modules"),
  costBytes: t("Memory"),
  costFlops: t("Operations a token"),
  costNeeds: t("When loaded"),
  operations: (amount: string) => t("{0} op", amount),
  needs: {
    nothing: t("is fed as it is"),
    rebuiltSession: t("builds the session anew, once"),
    extraPass: t("runs another model beside it"),
  },
  parts: {
    lowRank: t("Low-rank updates"),
    gated: t("Gated low-rank updates"),
    delta: t("Whole differences of weights"),
    routed: t("Experts by token"),
    fed: t("Experts by a router"),
    inputScale: t("Scales of inputs"),
    outputScale: t("Scales of outputs"),
    shift: t("Shifts of outputs"),
    newRows: t("New rows of the vocabulary"),
    embedding: t("Rows of the embedding"),
    norm: t("Norms"),
    attention: t("Attention to learned prompts"),
    experts: t("Updates of experts"),
    virtualTokens: t("Virtual tokens"),
    cachePrefix: t("Keys and values"),
    router: t("Router"),
    companion: t("Model of its own"),
  },

  virtualTokens: t("Virtual tokens"),
  virtualTokensHelp: (count: number) =>
    t("{0} learned positions stand before every prompt, in place of words.", count),
  cachePrefixHelp: (count: number) =>
    t("{0} learned positions stand in the cache of every layer, before every prompt.", count),
  position: t("position"),
  positionHeading: t("Position"),
  normHeading: t("Norm"),
  baseMean: (value: string) => t("mean of the base's embeddings: {0}", value),

  remarks: t("What stands out"),
  resize: (rank: number) => t("Resize to rank {0}…", rank),
  reduceIntruders: t("Damp intruders…"),
  showModules: (amount: number) =>
    amount === 1 ? t("Show the module") : t("Show {0} modules", amount),

  inWords: t("In plain words"),
  config: t("Config"),
  raw: t("Raw JSON"),
  field: t("Field"),
  value: t("Value"),
  meaning: t("What it means"),
  changed: t("changed"),
  changedHelp: t("Differs from PEFT's default"),
  onlyChanged: t("Only changed"),
  filterFields: t("Filter fields"),
  unknownField: t("Not a field that this version of Graft knows. It is kept as it is."),
  noFields: t("No field matches."),
  fieldsShown: (shown: number, all: number) => t("{0} of {1} fields", shown, all),

  files: t("Files"),
  name: t("Name"),
  size: t("Size"),
  tensors: t("Tensors"),
  tensorList: (amount: string) => t("{0} tensors", amount),
  filterTensors: t("Filter tensors"),
  shape: t("Shape"),
  noTensors: t("No tensor matches."),
  showAll: (all: string) => t("Show all {0}", all),
  openTensors: (file: string) => t("Open the tensors of {0}", file),
} as const;
