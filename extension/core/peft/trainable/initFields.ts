import { t } from "@vscode/l10n";
import { GraftError } from "../../base/errors.ts";
import type { AdapterConfig } from "../../checkpoint/adapterConfig.ts";

interface InitField {
  readonly field: string;
  /** PEFT 0.21's own; null and an absent field are its default. */
  readonly values: readonly (boolean | string)[];
}

const booleans = [true, false];
const usual: InitField = { field: "init_weights", values: booleans };

/** Methods whose field is another, or says more than whether training begins at the base. */
const own: Readonly<Record<string, InitField | null>> = {
  // Its schema lists them all.
  LORA: null,
  ADAMSS: { field: "init_weights", values: [...booleans, "orthogonal"] },
  ADALORA: { field: "init_lora_weights", values: booleans },
  C3A: {
    field: "init_weights",
    values: [...booleans, "gaussian", "kaiming_uniform", "xavier_uniform"],
  },
  HIRA: { field: "init_weights", values: [...booleans, "gaussian"] },
  IA3: { field: "init_ia3_weights", values: booleans },
  LOKR: { field: "init_weights", values: [...booleans, "lycoris"] },
  MISS: { field: "init_weights", values: [...booleans, "bat", "mini"] },
  PREFIX_TUNING: { field: "init_weights", values: ["zero"] },
  PROMPT_TUNING: { field: "prompt_tuning_init", values: ["RANDOM", "SAMPLE_VOCAB", "TEXT"] },
  TINYLORA: { field: "init_weights", values: [...booleans, "uniform"] },
};

/**
 * None is passed over in silence.
 * @throws bad-file naming the field and what it may be
 */
export function checkInitField({ peftType, raw, file }: AdapterConfig): void {
  const known = own[peftType];
  if (known === null) return;
  const { field, values } = known ?? usual;
  const value = raw[field] ?? null;
  if (value === null || values.includes(value as string | boolean)) return;
  throw new GraftError(
    "bad-file",
    t(
      '{0}: field "{1}" is {2}; {3} begins with one of {4}.',
      file,
      field,
      JSON.stringify(value),
      peftType,
      values.join(", "),
    ),
    { file, field },
  );
}
