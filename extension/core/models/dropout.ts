/** What a base leaves out at random while it is trained; built in only where a hook asks for it. */
import type { ModelConfig } from "../checkpoint/modelConfig.ts";

/** Fields of config.json, the first that has a number counts; transformers' default where none has. */
export interface DropoutRate {
  readonly fields: readonly string[];
  readonly usual: number;
}

export function dropoutRate(usual: number, ...fields: string[]): DropoutRate {
  return { fields, usual };
}

/** Classifiers of tokens behind decoders (GenericForTokenClassification in modeling_layers.py). */
export const tokenDropout = dropoutRate(0.1, "classifier_dropout", "hidden_dropout");

/** The probability, and the field that says it. */
export function probabilityOf(
  { raw }: ModelConfig,
  { fields, usual }: DropoutRate,
): { field: string; probability: number } {
  const field = fields.find((name) => typeof raw[name] === "number");
  const own = field === undefined ? usual : (raw[field] as number);
  return { field: field ?? fields[0] ?? "", probability: own > 0 && own < 1 ? own : 0 };
}

/** Every field of a config that says how much is dropped out, and is not 0. */
export function dropoutFields({ raw }: ModelConfig): string[] {
  return Object.entries(raw)
    .filter(
      ([name, value]) => /(dropout|_drop)(_prob|_rate)?$|_pdrop$/.test(name) && Number(value) > 0,
    )
    .map(([name]) => name);
}
