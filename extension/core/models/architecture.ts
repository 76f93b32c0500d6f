import { t } from "@vscode/l10n";
import { unsupported } from "../base/errors.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import type { Family } from "./family.ts";
import type { Model, Task } from "./model.ts";
import type { Backbone, Ending, ModelBuilder } from "./modelBuilder.ts";

/** A class of transformers as Graft builds it. */
export interface Architecture {
  readonly name: string;
  readonly build: (m: ModelBuilder) => Model;
  readonly ending: Ending;
  readonly backbone: Backbone;
}

/** How the classes of a task are called, behind the family's name. */
const taskSuffixes: readonly (readonly [suffix: string, task: Task])[] = [
  ["ForSequenceClassification", "sequence-classification"],
  ["ForTokenClassification", "token-classification"],
  ["ForQuestionAnswering", "question-answering"],
  ["Model", "feature-extraction"],
];

/** How classes are called that a family names itself. */
const ownSuffixes: readonly (readonly [suffix: RegExp, task: Task])[] = [
  [/For(CausalLM|ConditionalGeneration)$|LMHeadModel$/, "language-modeling"],
  [/ForMaskedLM$/, "masked-language-modeling"],
  [/ForImageClassification$/, "image-classification"],
];

/** The task of a class by its name; null for a name that says none. */
export function taskOfClass(name: string): Task | null {
  const own = ownSuffixes.find(([suffix]) => suffix.test(name));
  return (own ?? taskSuffixes.find(([suffix]) => name.endsWith(suffix)))?.[1] ?? null;
}

/** The end of the name of a family's decoder with a language head. */
const languageModel = /(ForCausalLM|LMHeadModel)$/;

/** The classes of a family, those that `architectures` names and those that come with a decoder. */
export function architecturesOf(family: Family): Architecture[] {
  const named = Object.entries(family.architectures).map(([name, build]): Architecture => ({
    name,
    build,
    ending: { kind: "own" },
    backbone: backboneOf(family, name),
  }));
  const [first] = named;
  if (!first || !languageModel.test(first.name)) return named;
  const stem = first.name.replace(languageModel, "");
  const derived = taskSuffixes.map(([suffix, task]): Architecture => {
    const name = `${stem}${suffix}`;
    const path = task === "token-classification" ? family.tokenHead : undefined;
    const ending = { kind: "task", task, path } as const;
    return { name, build: first.build, ending, backbone: backboneOf(family, name) };
  });
  return [...named, ...derived.filter(({ name }) => !(name in family.architectures))];
}

function backboneOf({ backbone = "model", questionBackbone }: Family, name: string): Backbone {
  if (isStack(name)) return { family: backbone, own: "" };
  const isQuestion = name.endsWith("ForQuestionAnswering");
  return { family: backbone, own: (isQuestion ? questionBackbone : undefined) ?? backbone };
}

/** Is a class the bare stack ("BertModel"), whose parameters have no name in front? */
function isStack(name: string): boolean {
  return name.endsWith("Model") && !languageModel.test(name);
}

/** The architecture of a config; a family or class that is not known is refused by name. */
export function architectureIn(families: readonly Family[], config: ModelConfig): Architecture {
  const { modelType, architecture, file } = config;
  const family = families.find((known) => known.modelType === modelType);
  if (!family) {
    throw unsupported(
      t('{0}: Graft does not run the model family "{1}" yet', file, modelType),
      t("It runs {0}.", families.map((known) => known.modelType).join(", ")),
    );
  }
  const known = architecturesOf(family);
  const found = architecture === "" ? known[0] : known.find(({ name }) => name === architecture);
  if (found) return found;
  throw unsupported(
    t("{0}: Graft does not run the architecture {1} yet", file, architecture),
    t("Of this family it runs {0}.", known.map(({ name }) => name).join(", ")),
  );
}
