/** Intruder dimensions of any method's update (https://arxiv.org/abs/2410.21228), counted and not changed. */
import { t } from "@vscode/l10n";
import { pause } from "../base/pause.ts";
import type { OnProgress } from "../base/progress.ts";
import type { AdapterCheckpoint } from "../checkpoint/adapterCheckpoint.ts";
import { mergedDirections } from "../peft/convert/intruders.ts";
import type { Method, MethodBase, OpenedModule } from "../peft/method.ts";
import { moduleDelta } from "./moduleDelta.ts";
import { openForAnalysis, type OpenedForAnalysis } from "./openForAnalysis.ts";
import { denseOf, sizeOf } from "./pair.ts";
import { countNotFinite } from "./spectrum.ts";

export interface IntrudersAt {
  readonly checkpoint: AdapterCheckpoint;
  readonly method: Method;
  readonly base: MethodBase;
  readonly only?: readonly string[] | undefined;
  readonly topK: number;
  readonly threshold: number;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ModuleIntruders {
  module: string;
  intruders: number | null;
  likeness: number[];
  reason?: string;
}

export async function findIntruders(at: IntrudersAt): Promise<ModuleIntruders[]> {
  const { only, onProgress, signal } = at;
  const opened = await openForAnalysis(at);
  const chosen = opened.modules.filter(({ path }) => only?.includes(path) ?? true);
  const found: ModuleIntruders[] = [];
  for (const [done, module] of chosen.entries()) {
    onProgress?.({ step: t("Looking for intruders"), done, total: chosen.length, unit: "items" });
    await pause(signal);
    found.push(await intrudersOf(module, opened, at));
  }
  return found;
}

async function intrudersOf(
  module: OpenedModule,
  { base, hasWeights }: OpenedForAnalysis,
  { topK, threshold, signal }: IntrudersAt,
): Promise<ModuleIntruders> {
  const { path } = module;
  const delta = await moduleDelta(module, { base, hasWeights, signal });
  const [update] = delta.updates;
  const [weight] = (delta.kind === "matrix" && (await delta.weights())) || [];
  const none = { module: path, intruders: null, likeness: [] };
  if (!update || !weight || countNotFinite(update) > 0) {
    const reason = delta.reason ?? t("Only the matrices of linear layers are looked at.");
    return { ...none, reason };
  }
  const { inputs: columns, out: rows } = sizeOf(update);
  const { likeness } = mergedDirections({ values: weight, rows, columns }, denseOf(update), topK);
  return {
    module: path,
    intruders: likeness.filter((likest) => likest < threshold).length,
    likeness,
  };
}
