/** One adapter made of several: PEFT's add_weighted_adapter for LoRA and IA³. */
import { t } from "@vscode/l10n";
import { methodLabels } from "../checkpoint/adapterConfig.ts";
import { badRequest, unsupported } from "../base/errors.ts";
import { combineIa3 } from "./combine/ia3.ts";
import { combineLora } from "./combine/lora.ts";
import type { CombineOptions } from "./combine/options.ts";
import type { CombineBase, CombinedAdapter, CombineSource } from "./combine/source.ts";

const combiners: Readonly<Record<string, typeof combineLora>> = {
  LORA: combineLora,
  IA3: combineIa3,
};

/**
 * Makes the tensors and the config of the combined adapter; nothing is written.
 * @param base names the modules and their order; needed for dare_* and for `modules_to_save`
 * @throws bad-request, unsupported or misfit where PEFT refuses, or would lose something in silence
 */
export async function combineAdapters(
  sources: readonly CombineSource[],
  options: CombineOptions = {},
  base?: CombineBase,
): Promise<CombinedAdapter> {
  const [first, ...others] = sources;
  if (!first) throw badRequest(t("No adapter to combine is named."));
  for (const { name, weight } of sources) {
    if (!Number.isFinite(weight)) throw badRequest(t('The weight of "{0}" is {1}.', name, weight));
  }
  const { peftType } = first.checkpoint.config;
  const stranger = others.find(({ checkpoint }) => checkpoint.config.peftType !== peftType);
  const label = (type: string): string => methodLabels[type] ?? type;
  if (stranger) {
    throw badRequest(
      t(
        '"{0}" is {1} and "{2}" is {3}: only one method at a time can be combined.',
        first.name,
        label(peftType),
        stranger.name,
        label(stranger.checkpoint.config.peftType),
      ),
    );
  }
  const combine = combiners[peftType];
  if (combine) return combine(sources, options, base);
  throw unsupported(
    t("Adapters of {0} cannot be combined; PEFT combines LoRA and IA³", label(peftType)),
    t("Make them active together instead: their updates add up."),
  );
}
