import { t } from "@vscode/l10n";
import { unsupported } from "../../base/errors.ts";
import { type AdapterConfig, methodLabels } from "../../checkpoint/adapterConfig.ts";
import { methodOf } from "../index.ts";
import { adaLora } from "./adaLora.ts";
import { adamss } from "./adamss.ts";
import { adaptionPrompt } from "./adaptionPrompt.ts";
import { beft } from "./beft.ts";
import { boft } from "./boft.ts";
import { c3a } from "./c3a.ts";
import { cartridge } from "./cartridge.ts";
import { cpt } from "./cpt.ts";
import { deLora } from "./deLora.ts";
import { deft } from "./deft.ts";
import { fourierFt } from "./fourierFt.ts";
import { frod } from "./frod.ts";
import { glora } from "./glora.ts";
import { graLora } from "./graLora.ts";
import { hira } from "./hira.ts";
import { hra } from "./hra.ts";
import { ia3 } from "./ia3.ts";
import { lily } from "./lily.ts";
import { lnTuning } from "./lnTuning.ts";
import { loha } from "./loha.ts";
import { lokr } from "./lokr.ts";
import { miss } from "./miss.ts";
import { multitaskPromptTuning } from "./multitaskPromptTuning.ts";
import { oft } from "./oft.ts";
import { osf } from "./osf.ts";
import { poly } from "./poly.ts";
import { peanut } from "./peanut.ts";
import { pTuning } from "./pTuning.ts";
import { prefixTuning } from "./prefixTuning.ts";
import { promptTuning } from "./promptTuning.ts";
import { psoft } from "./psoft.ts";
import { pvera } from "./pvera.ts";
import { randLora } from "./randLora.ts";
import { road } from "./road.ts";
import { shira } from "./shira.ts";
import { tinyLora } from "./tinyLora.ts";
import { supertuning } from "./supertuning.ts";
import { uniLora } from "./uniLora.ts";
import { vbLora } from "./vbLora.ts";
import { vera } from "./vera.ts";
import { waveFt } from "./waveFt.ts";
import { lora } from "./lora.ts";
import { trainableTokens } from "./trainableTokens.ts";
import type { TrainableMethod } from "./trainable.ts";

/** Every PEFT method that Graft trains; a new one is its file and its line here. */
export const trainableMethods: readonly TrainableMethod[] = [
  lora,
  trainableTokens,
  adaLora,
  adamss,
  adaptionPrompt,
  beft,
  boft,
  c3a,
  cartridge,
  cpt,
  deLora,
  deft,
  fourierFt,
  frod,
  glora,
  graLora,
  hira,
  hra,
  ia3,
  lily,
  lnTuning,
  loha,
  lokr,
  miss,
  multitaskPromptTuning,
  oft,
  osf,
  pTuning,
  peanut,
  poly,
  prefixTuning,
  promptTuning,
  psoft,
  pvera,
  randLora,
  road,
  shira,
  supertuning,
  tinyLora,
  uniLora,
  vbLora,
  vera,
  waveFt,
];

/** Why some methods that run are not trained. */
const untrained: Readonly<Record<string, () => string>> = {
  BONE: () => t("PEFT 0.21 does not train it either; MISS is its newer name."),
  XLORA: () => t("Its router is trained on two passes of the base for every step."),
  SHADOW: () => t("Its companion is a decoder of its own, which is trained beside the base."),
};

/** The training form of a config's method. @throws unsupported where there is none */
export function trainableMethodOf(config: AdapterConfig): TrainableMethod {
  const { peftType } = methodOf(config);
  const method = trainableMethods.find((known) => known.peftType === peftType);
  if (method) return method;
  const label = methodLabels[peftType] ?? peftType;
  const reason = untrained[peftType]?.();
  throw unsupported(t("{0}: Graft does not train {1} adapters yet", config.file, label), reason);
}
