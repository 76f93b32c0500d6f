/** Every sentence of the page that compares two adapters, in one place for translation. */
import { t } from "../shared/l10n.ts";

export const text = {
  reading: t("Reading the adapters…"),
  title: (a: string, b: string) => t("{0} and {1}", a, b),
  sideA: t("A"),
  sideB: t("B"),
  open: (name: string) => t("Open the inspector of {0}", name),
  change: (side: string) => t("Change… {0}: compare another adapter", side),
  changeShort: t("Change…"),
  swap: t("Swap"),
  mix: t("Mix them"),
  combine: t("Combine…"),
  parameters: (parameters: string) => t("{0} parameters", parameters),
  rank: (rank: string) => t("r {0}", rank),
  modules: (modules: number) => (modules === 1 ? t("1 module") : t("{0} modules", modules)),
  unreadable: (name: string) => t("{0} cannot be read", name),

  inWords: t("In plain words"),
  sameMethod: (method: string) => t("Both are {0} adapters.", method),
  otherMethods: (a: string, b: string) => t("A is {0}, B is {1}.", a, b),
  sameModules: (modules: number) => t("They change the same {0} modules.", modules),
  sharedModules: (both: string, onlyA: number, onlyB: number) =>
    t("They share {0}; A alone changes {1} more, B alone {2} more.", both, onlyA, onlyB),
  noShared: t("They have no module in common, so they do not get in each other's way."),
  cosines: {
    same: (cosine: string) => t("They push the weights the same way (cosine {0}).", cosine),
    alike: (cosine: string) => t("They push the weights in a similar way (cosine {0}).", cosine),
    apart: (cosine: string) =>
      t("They push the weights in unrelated directions (cosine {0}).", cosine),
    against: (cosine: string) =>
      t("They push the weights against each other (cosine {0}).", cosine),
  },
  stronger: (side: string, times: string) => t("{0} changes them {1} times as much.", side, times),
  equallyStrong: t("They change them about equally much."),
  bases: (a: string, b: string) =>
    t("They were trained on bases of different names: {0} and {1}.", a, b),

  config: t("Config"),
  field: t("Field"),
  meaning: t("What it means"),
  onlyDifferences: t("Only differences"),
  differs: t("differs"),
  absent: t("–"),
  noDifferences: t("The configs say the same."),
  differences: (amount: number, all: number) => t("{0} of {1} fields differ", amount, all),

  modulesTitle: t("Module by module"),
  gridLabel: (measure: string) => t("{0} by layer and module", measure),
  gridHelp: t(
    "Point at a cell, or move through the grid with the arrow keys. Enter shows the module.",
  ),
  show: t("Show"),
  notTargeted: t("in neither"),
  onlyOne: t("in one alone"),
  onlyA: t("in A alone"),
  onlyB: t("in B alone"),
  cellModules: (amount: number, first: string) => t("{0} modules, first {1}", amount, first),
  fact: (name: string, value: string) => t("{0} {1}", name, value),
  module: t("Module"),
  changedBy: t("Changed by"),
  both: t("both"),
  metrics: {
    cosine: {
      label: t("Cosine"),
      help: t(
        "Likeness of the two changes as vectors: 1 the same way, 0 unrelated, −1 against each other.",
      ),
    },
    overlap: {
      label: t("Overlap"),
      help: t(
        "Share of the leading output directions that both use: 0 none in common, 1 the same subspace.",
      ),
    },
    ratio: {
      label: t("‖ΔB‖ ÷ ‖ΔA‖"),
      help: t("How much more B changes the module than A does."),
    },
    normA: { label: t("‖ΔA‖"), help: t("Size of the change that A makes.") },
    normB: { label: t("‖ΔB‖"), help: t("Size of the change that B makes.") },
    conflicts: {
      label: t("Sign conflicts"),
      help: t("Share of entries that the two move in opposite directions: half is chance."),
    },
    rankA: { label: t("Rank of A"), help: t("As the config has it.") },
    rankB: { label: t("Rank of B"), help: t("As the config has it.") },
  },
  overlapRight: t("Overlap of inputs"),
  kept: t("Kept when merged"),

  merging: t("What mixing them would do"),
  mergingHelp: t("Both at weight 1, added up."),
  nothingShared: t("No module is changed by both: each keeps all that it does."),
  keptWords: (kept: string, modules: string) =>
    t("{0} of the size of the two changes is kept, over {1}.", kept, modules),
  keptMeaning: {
    agree: t("They strengthen each other: a sum may overshoot, so lower the weights."),
    apart: t("They hardly meet: as a rule both effects survive a sum."),
    cancel: t("They cancel in part: what one learned, the other takes back."),
  },
  conflictWords: (share: string) =>
    t("{0} of the entries are moved in opposite directions.", share),
  trimmedWords: (share: string, density: string) =>
    t("Among the largest {1}, which TIES keeps, it is {0}.", share, density),
  worst: t("Where they disagree most"),

  remarks: t("What stands out"),
  error: t("Error"),
  warning: t("Warning"),
  note: t("Note"),

  spectrum: (module: string) => t("Common directions of {0}", module),
  overlapOf: t("Directions"),
  overlapLeft: t("Of outputs"),
  overlapRightOf: t("Of inputs"),
  byChance: t("By chance"),

  analyzing: t("Comparing what they change…"),
  cancel: t("Cancel"),
  cancelled: t("Stopped. The numbers that need the weights are missing."),
  compute: t("Compute"),
  noNumbers: t("The numbers could not be computed"),
  again: t("Try again"),
  failed: t("That did not work"),
  showAll: (all: string) => t("Show all {0}", all),
} as const;
