import { t } from "@vscode/l10n";
import { unsupported } from "../base/errors.ts";
import { type AdapterConfig, methodLabels } from "../checkpoint/adapterConfig.ts";
import { lora } from "./lora.ts";
import { ia3 } from "./ia3.ts";
import { lnTuning } from "./lnTuning.ts";
import { trainableTokens } from "./trainableTokens.ts";
import { adaLora } from "./adaLora.ts";
import { supertuning } from "./supertuning.ts";
import { uniLora } from "./uniLora.ts";
import { glora } from "./glora.ts";
import { peanut } from "./peanut.ts";
import { miss, bone } from "./miss.ts";
import { hra } from "./hra.ts";
import { oft } from "./oft.ts";
import { boft } from "./boft.ts";
import { shira } from "./shira.ts";
import { c3a } from "./c3a.ts";
import { hira } from "./hira.ts";
import { graLora } from "./graLora.ts";
import { deLora } from "./deLora.ts";
import { beft } from "./beft.ts";
import { deft } from "./deft.ts";
import { loha } from "./loha.ts";
import { lokr } from "./lokr.ts";
import { adamss } from "./adamss.ts";
import { frod } from "./frod.ts";
import { fourierFt } from "./fourierFt.ts";
import { waveFt } from "./waveFt.ts";
import { tinyLora } from "./tinyLora.ts";
import { vera } from "./vera.ts";
import { pvera } from "./pvera.ts";
import { randLora } from "./randLora.ts";
import { poly } from "./poly.ts";
import { vbLora } from "./vbLora.ts";
import { lily } from "./lily.ts";
import { road } from "./road.ts";
import { osf } from "./osf.ts";
import { shadow } from "./shadow/shadow.ts";
import { psoft } from "./psoft.ts";
import { xlora } from "./xlora/xlora.ts";
import type { Method } from "./method.ts";
import { adaptionPrompt } from "./prompt/adaptionPrompt.ts";
import { cpt } from "./prompt/cpt.ts";
import { multitaskPromptTuning } from "./prompt/multitaskPromptTuning.ts";
import { cartridge, prefixTuning } from "./prompt/prefixTuning.ts";
import { promptTuning } from "./prompt/promptTuning.ts";
import { pTuning } from "./prompt/pTuning.ts";

/** Every PEFT method that Graft runs; a new one is its file and its line here. */
export const methods: readonly Method[] = [
  lora,
  ia3,
  lnTuning,
  trainableTokens,
  adaLora,
  promptTuning,
  pTuning,
  multitaskPromptTuning,
  cpt,
  prefixTuning,
  cartridge,
  adaptionPrompt,
  supertuning,
  uniLora,
  glora,
  peanut,
  miss,
  bone,
  hra,
  oft,
  boft,
  shira,
  c3a,
  hira,
  graLora,
  deLora,
  beft,
  deft,
  loha,
  lokr,
  adamss,
  frod,
  fourierFt,
  waveFt,
  tinyLora,
  vera,
  pvera,
  randLora,
  poly,
  vbLora,
  lily,
  road,
  osf,
  psoft,
  xlora,
  shadow,
];

/** The method of a config; a name that PEFT does not know is refused. */
export function methodOf({ peftType, file }: AdapterConfig): Method {
  const method = methods.find((known) => known.peftType === peftType);
  if (method) return method;
  const label = methodLabels[peftType];
  if (label !== undefined)
    throw unsupported(t("{0}: Graft does not run {1} adapters yet", file, label));
  throw unsupported(
    t('{0}: field "peft_type" is "{1}", which no method of PEFT 0.21 is called', file, peftType),
    t("Method names are written in capitals, for example LORA."),
  );
}
