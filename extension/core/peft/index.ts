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
import type { Method } from "./method.ts";

/** Every PEFT method that Graft runs; a new one is its file and its line here. */
export const methods: readonly Method[] = [
  lora,
  ia3,
  lnTuning,
  trainableTokens,
  adaLora,
  supertuning,
  uniLora,
  glora,
  peanut,
];

/** The method of a config; one that Graft does not run is refused by name. */
export function methodOf({ peftType, file }: AdapterConfig): Method {
  const method = methods.find((known) => known.peftType === peftType);
  if (method) return method;
  const runs = methods.map((known) => methodLabels[known.peftType]).join(", ");
  throw unsupported(
    `${file}: Graft does not run ${methodLabels[peftType]} adapters yet`,
    `It runs ${runs}.`,
  );
}
