import { text } from "./strings.ts";

/** "layers.0" → "layer 0"; "" → "outside layers"; anything else as it is. */
export function layerLabel(key: string): string {
  if (key === "") return text.outsideLayers;
  const number = /^(?:layers|h|blocks?)\.(\d+)$/.exec(key)?.[1] ?? /^(\d+)$/.exec(key)?.[1];
  return number === undefined ? key : text.layer(number);
}

/** Column keys as short as they stay distinct: "self_attn.q_proj" → "q", "mlp.gate_proj" → "gate". */
export function shortLabels(keys: readonly string[]): string[] {
  const last = keys.map((key) => key.slice(key.lastIndexOf(".") + 1));
  const shortest = last.map((key) => key.replace(/_proj$/, ""));
  return keys.map((key, index) => {
    const candidates = [shortest, last].map((labels) => ({ labels, label: labels[index] ?? key }));
    const unique = candidates.find(
      ({ labels, label }) => label !== "" && labels.filter((other) => other === label).length === 1,
    );
    return unique?.label ?? key;
  });
}
