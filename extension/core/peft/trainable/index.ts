import { t } from "@vscode/l10n";
import { unsupported } from "../../base/errors.ts";
import { type AdapterConfig, methodLabels } from "../../checkpoint/adapterConfig.ts";
import { methodOf } from "../index.ts";
import { lora } from "./lora.ts";
import { trainableTokens } from "./trainableTokens.ts";
import type { TrainableMethod } from "./trainable.ts";

/** Every PEFT method that Graft trains; a new one is its file and its line here. */
export const trainableMethods: readonly TrainableMethod[] = [lora, trainableTokens];

/** The training form of a config's method. @throws unsupported where there is none */
export function trainableMethodOf(config: AdapterConfig): TrainableMethod {
  const { peftType } = methodOf(config);
  const method = trainableMethods.find((known) => known.peftType === peftType);
  if (method) return method;
  const label = methodLabels[peftType] ?? peftType;
  throw unsupported(t("{0}: Graft does not train {1} adapters yet", config.file, label));
}
