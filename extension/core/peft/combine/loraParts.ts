import { t } from "@vscode/l10n";
import { misfit } from "../../base/errors.ts";
import { type LoraConfig, loraScale } from "../loraConfig.ts";
import type { Factors } from "./factors.ts";
import type { OpenSource } from "./source.ts";

/** Names of A and B by the kind of their module. */
export const suffixes = {
  linear: ["lora_A.weight", "lora_B.weight"],
  embedding: ["lora_embedding_A", "lora_embedding_B"],
} as const;

export interface LoraSource extends OpenSource {
  readonly config: LoraConfig;
  readonly file: string;
}

/** A module's factors in one adapter, times weight · scaling in the sum. */
export interface Part {
  readonly factors: Factors;
  readonly weight: number;
  readonly scaling: number;
}

/** A module's factors in the adapters that have it. */
export function partsOf(
  path: string,
  sources: readonly LoraSource[],
): [first: Part, kind: keyof typeof suffixes, all: [Part, ...Part[]]] {
  const parts: Part[] = [];
  let kind: keyof typeof suffixes = "linear";
  for (const { name, modules, weight, config, file } of sources) {
    const stored = modules.get(path);
    if (!stored) continue;
    kind = stored.has("lora_embedding_A") ? "embedding" : "linear";
    const [a, b] = suffixes[kind].map((suffix) => stored.get(suffix));
    const { rank, scaling } = loraScale(config, path, file);
    const [inputs = 0, out = 0] = [a?.shape[1], b?.shape[0]];
    if (a?.values.length !== rank * inputs || b?.values.length !== out * rank) {
      throw misfit(t("{0}: the factors of {1} do not have the rank {2}.", file, path, rank), {
        file,
      });
    }
    const first = parts[0]?.factors ?? { inputs, out };
    if (first.inputs !== inputs || first.out !== out) {
      throw misfit(
        t(
          '{0} is {1} × {2} in "{3}" and {4} × {5} in another adapter: they belong to different bases.',
          path,
          out,
          inputs,
          name,
          first.out,
          first.inputs,
        ),
      );
    }
    const factors = { a: a.values, b: b.values, rank, inputs, out };
    parts.push({ factors, weight, scaling });
  }
  const [first] = parts;
  if (!first) {
    throw misfit(t("The combination targets {0}, for which no adapter has factors.", path));
  }
  return [first, kind, parts as [Part, ...Part[]]];
}
