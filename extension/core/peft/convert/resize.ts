/**
 * A LoRA of another rank: fewer directions are the largest singular ones of B A, more are zeros. What
 * a module adds stays s · B A; alpha follows the rank where it stays a whole number, so that the
 * scaling s is kept, otherwise alpha is kept and B takes up the difference.
 */
import { t } from "@vscode/l10n";
import { pause } from "../../base/pause.ts";
import type { AdapterCheckpoint } from "../../checkpoint/adapterCheckpoint.ts";
import type { TensorData } from "../../safetensors/write.ts";
import { loraScale } from "../loraConfig.ts";
import {
  type ConvertedAdapter,
  type ConvertedModule,
  type ConvertOptions,
  factorTensors,
  scaleFields,
} from "./converted.ts";
import { factorise } from "./factorise.ts";
import {
  biasTensor,
  editedConfig,
  type LoraAdapter,
  type LoraModule,
  notPlain,
  openLora,
} from "./loraAdapter.ts";
import { checkChoice, type RankChoice } from "./size.ts";

/** Makes the tensors and the config of the resized LoRA; nothing is written. */
export async function resizeLora(
  checkpoint: AdapterCheckpoint,
  { size, onProgress, signal }: ConvertOptions & { size: RankChoice },
): Promise<ConvertedAdapter> {
  checkChoice(size);
  const adapter = await openLora(checkpoint, { refused: notPlain, signal });
  const modules: ConvertedModule[] = [];
  const tensors: TensorData[] = [...adapter.others];
  const scales = new Map<string, { rank: number; alpha: number }>();
  for (const [done, module] of adapter.modules.entries()) {
    const total = adapter.modules.length;
    onProgress?.({ step: t("Resizing modules"), done, total, unit: "items" });
    await pause(signal);
    const cut = factorise({ kind: "factors", factors: module.factors }, size, module.path);
    const { rank } = cut.factors;
    const { alpha, scaling } = newScale(adapter, module, rank);
    const makeUp = (values: Float32Array): Float32Array =>
      scaling === module.scaling
        ? values
        : values.map((value) => (value * module.scaling) / scaling);
    const factors = { ...cut.factors, b: makeUp(cut.factors.b) };
    tensors.push(...factorTensors(module.path, module.kind, factors));
    if (module.bias) tensors.push(biasTensor(module, makeUp(module.bias)));
    scales.set(module.path, { rank, alpha });
    const weight = module.scaling ** 2;
    const { path } = module;
    modules.push({ path, rank, total: cut.total * weight, lost: cut.lost * weight });
  }
  const configText = editedConfig(checkpoint, scaleFields(scales));
  return { tensors, configText, modules, warnings: [] };
}

/** Alpha and scaling of a module at its new rank. */
function newScale(
  { config, checkpoint }: LoraAdapter,
  { path, scaling }: LoraModule,
  rank: number,
): { alpha: number; scaling: number } {
  const { alpha } = loraScale(config, path, checkpoint.config.file);
  const divisor = config.use_rslora ? Math.sqrt(rank) : rank;
  const wanted = scaling * divisor;
  const whole = Math.round(wanted);
  const isWhole = whole !== 0 && Math.abs(wanted - whole) <= 1e-9 * Math.abs(wanted);
  // An alpha of 0 switches the adapter off at any rank.
  if (isWhole || scaling === 0) return { alpha: isWhole ? whole : alpha, scaling };
  return { alpha, scaling: alpha / divisor };
}
