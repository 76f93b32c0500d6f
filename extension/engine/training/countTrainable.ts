import { t } from "@vscode/l10n";
import { unsupported } from "../../core/base/errors.ts";
import { totalElements } from "../../core/base/shape.ts";
import { DescribedBases } from "../../core/configBase.ts";
import { trainableMethodOf } from "../../core/peft/trainable/index.ts";
import { baseParameters } from "../../core/status.ts";
import type { RunConfig, TrainableCount } from "../../protocol/trainingContract.ts";
import { adapterStart } from "./openRun.ts";
import { contextOf } from "./runData.ts";

const bases = new DescribedBases();

/** Trainable and all parameters, as PEFT's `get_nb_trainable_parameters`; nothing but headers is read. */
export async function countTrainable(
  { base: folder, adapter }: Pick<RunConfig, "base" | "adapter">,
  signal: AbortSignal,
): Promise<TrainableCount> {
  const start = await adapterStart({ adapter }, signal);
  const config = start.kind === "new" ? start.config : start.checkpoint.config;
  const method = trainableMethodOf(config);
  const { checkpoint, base, isGuess } = await bases.get(folder, {
    ...{ taskType: config.taskType, tensors: null, signal },
  });
  if (isGuess) {
    throw unsupported(
      t("{0} is of a family that Graft does not train", checkpoint.name),
      t("Choose another base model."),
    );
  }
  const { parameters } = method.prepare(config, base);
  const trained = totalElements(parameters.filter(({ isTrained }) => isTrained));
  const all = baseParameters(checkpoint, base.tree) + trained;
  return { trained, all, context: contextOf(checkpoint.config.raw) };
}
