/**
 * LN tuning (PEFT tuners/ln_tuning/layer.py): a trained copy of a norm stands in its place, beginning as
 * the base's.
 */
import { t } from "@vscode/l10n";
import { misfit, unsupported } from "../../base/errors.ts";
import { normTensor } from "../../checkpoint/modules.ts";
import { lnTuning as method } from "../lnTuning.ts";
import { trainableTuner } from "./tuner.ts";

const suffix = "ln_tuning_layers.weight";

export const lnTuning = trainableTuner({
  method,
  norm: ({ parameter }) => parameter(suffix),
  initialize: async (module, { base, file, signal }) => {
    if (module.kind !== "norm" || module.hasBias) {
      throw unsupported(
        t("{0}: Graft trains LN tuning on norms without bias alone, not on {1}", file, module.path),
      );
    }
    const own = await base.readTensor(normTensor(module.path), signal);
    if (own) return { [suffix]: own };
    throw misfit(
      t('The base has no tensor "{0}", which the adapter needs.', normTensor(module.path)),
    );
  },
});
