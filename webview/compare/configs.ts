import type { CompareState } from "../../extension/protocol/picturesContract.ts";
import { configValue } from "../shared/configFields.ts";

export interface FieldPair {
  field: string;
  /** As text; null where the config has no such field. */
  a: string | null;
  b: string | null;
  differs: boolean;
  meaning: string;
}

/** Every field that either config has, in the order of the files. */
export function fieldPairs({ sides }: CompareState): FieldPair[] {
  const [a, b] = sides.map(({ report }) => new Map(report?.config.map((f) => [f.field, f]) ?? []));
  if (!a || !b) return [];
  return [...new Set([...a.keys(), ...b.keys()])].map((field) => {
    const own = [a.get(field), b.get(field)];
    const [textA = null, textB = null] = own.map((each) => each && valueText(each.value));
    return {
      field,
      a: textA ?? null,
      b: textB ?? null,
      differs: !isSame(own[0]?.value, own[1]?.value) || own.includes(undefined),
      meaning: own[0]?.meaning ?? own[1]?.meaning ?? "",
    };
  });
}

function valueText(value: unknown): string {
  const { start, rest } = configValue(value);
  return start + rest;
}

/** Lists of names are sets in PEFT's configs: their order says nothing. */
function isSame(a: unknown, b: unknown): boolean {
  const plain = (value: unknown): string =>
    JSON.stringify(
      Array.isArray(value) && value.every((item) => typeof item === "string")
        ? [...value].sort()
        : value,
    ) ?? "";
  return plain(a) === plain(b);
}
