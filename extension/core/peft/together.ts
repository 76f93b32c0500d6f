import { t } from "@vscode/l10n";
import { badRequest } from "../base/errors.ts";
import { normTensor } from "../checkpoint/modules.ts";
import type { AdapterEffects } from "./effect.ts";

/**
 * Refuses adapters that replace the same parameter: adding both up is what none of them was trained
 * for. PEFT refuses most of these too (modules_to_save, trained tokens, LN tuning, biases).
 * @throws bad-request, naming two adapters and the parameter
 */
export function checkTogether(
  active: readonly { name: string; weight: number; effects: AdapterEffects }[],
): void {
  const owners = new Map<string, string>();
  for (const { name, weight, effects } of active) {
    if (weight === 0) continue;
    for (const parameter of replacedBy(effects)) {
      const other = owners.get(parameter);
      if (other === undefined) owners.set(parameter, name);
      else {
        throw badRequest(
          t(
            '"{0}" and "{1}" both replace {2} of the base: only one of them can be active.',
            other,
            name,
            parameter,
          ),
        );
      }
    }
  }
}

/** Names of parameters, and of single rows of a table. */
function replacedBy({ replaces, norms, embeddings }: AdapterEffects): Set<string> {
  const names = new Set(replaces);
  for (const path of norms?.keys() ?? []) names.add(normTensor(path));
  for (const [path, { tokens }] of embeddings ?? []) {
    for (const id of tokens ?? []) names.add(`token ${id} of ${path}.weight`);
  }
  return names;
}
