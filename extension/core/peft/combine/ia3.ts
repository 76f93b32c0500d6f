/** IA³ adapters combined as PEFT does (tuners/ia3/model.py): l = Σ w_i l_i of those that have the module. */
import { t } from "@vscode/l10n";
import { badRequest, misfit } from "../../base/errors.ts";
import { fromFloat32 } from "../../base/halfFloat.ts";
import type { TensorData } from "../../safetensors/write.ts";
import type { CombineOptions } from "./options.ts";
import {
  changedConfig,
  type CombineBase,
  type CombinedAdapter,
  type CombineSource,
  joinedTargets,
  type OpenSource,
  openSource,
  wholeTensors,
} from "./source.ts";

const suffix = "ia3_l";

/** @throws bad-request for a type other than linear; misfit for sizes that differ */
export async function combineIa3(
  given: readonly CombineSource[],
  { combinationType: type = "linear", signal }: CombineOptions,
  base?: CombineBase,
): Promise<CombinedAdapter> {
  if (type !== "linear")
    throw badRequest(t("IA³ adapters are combined by linear, not by {0}.", type));
  const sources: OpenSource[] = [];
  for (const source of given) sources.push(await openSource(source, [suffix], signal));
  const paths = [...new Set(sources.flatMap(({ modules }) => [...modules.keys()]))].sort();
  const { tensors: whole, warnings } = await wholeTensors(sources, { base, signal });
  return {
    tensors: [...paths.map((path) => combineModule(path, sources)), ...whole],
    configText: changedConfig(sources, {
      target_modules: joinedTargets(sources, "target_modules"),
      feedforward_modules: joinedTargets(sources, "feedforward_modules"),
    }),
    warnings,
  };
}

function combineModule(path: string, sources: readonly OpenSource[]): TensorData {
  let sum: { shape: readonly number[]; values: Float32Array } | null = null;
  for (const { modules, weight, name } of sources) {
    const stored = modules.get(path)?.get(suffix);
    if (!stored) continue;
    const { shape, values } = stored;
    sum ??= { shape, values: new Float32Array(values.length) };
    if (sum.shape.join() !== shape.join()) {
      throw misfit(
        t('{0} has vectors of other shapes in "{1}" than in another adapter.', path, name),
      );
    }
    const before = sum.values;
    values.forEach((value, i) => (before[i] = (before[i] as number) + Math.fround(value * weight)));
  }
  if (!sum) throw misfit(t("No adapter has a vector for {0}.", path));
  const bytes = fromFloat32(sum.values, "F32");
  return { name: `base_model.model.${path}.${suffix}`, dtype: "F32", shape: sum.shape, bytes };
}
