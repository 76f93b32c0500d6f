import { openModel } from "./precision.ts";
import { describeBase } from "./baseModel.ts";
import { proveBind } from "./bindReport.ts";
import { type AdapterCheckpoint, openAdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import { methodOf } from "./peft/index.ts";
import { saveAdapter, type SaveOptions } from "./savePretrained.ts";

/**
 * Turns an adapter on disk into the plain LoRA that training made of its start. Nothing is loaded, so
 * it also mends those that cannot run as they are (CorDA, LoRA-GA, PiSSA with a randomised SVD).
 * @returns the files written, and sentences on what was unusual
 * @throws misfit or partial-bind when the adapter does not fit the base
 */
export async function savePlainLora(
  folder: string,
  target: string,
  at: SaveOptions & { base: string; initial: string; allowPartial?: boolean },
): Promise<{ files: string[]; warnings: string[] }> {
  const { base, initial, allowPartial = false, signal, ...options } = at;
  const adapter = await openAdapterCheckpoint(folder, signal);
  const { checkpoint } = await openModel(base, signal);
  const described = describeBase(checkpoint);
  const plain = asPlain(adapter);
  const method = methodOf(plain.config);
  const report = method.bind(plain, described);
  const warnings = proveBind(plain, report, { method, base: described, allowPartial });
  const files = await saveAdapter(adapter, target, {
    ...options,
    ...{ checkpoint, tree: described.tree, signal },
    onWarning: (warning) => warnings.push(warning),
    pathInitialModelForWeightConversion: initial,
  });
  return { files, warnings };
}

/** Its factors are those of any LoRA; only the base that they were trained on is another. */
function asPlain(adapter: AdapterCheckpoint): AdapterCheckpoint {
  const { config } = adapter;
  if (config.peftType !== "LORA") return adapter;
  return { ...adapter, config: { ...config, raw: { ...config.raw, init_lora_weights: true } } };
}
