import { t } from "@vscode/l10n";
import { isReadableDtype } from "./base/dtype.ts";
import { fromFloat32 } from "./base/halfFloat.ts";
import type { OnProgress } from "./base/progress.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import { type ModuleTree, weightName } from "./checkpoint/modules.ts";
import { readWeight } from "./checkpoint/readWeight.ts";
import { temporaryWeights } from "./temporaryWeights.ts";

/**
 * A base whose linear layers can run mapped from disk. ONNX Runtime widens 16-bit weights to fp32 in
 * memory, all of them; here they are widened once, one after another, into a temporary file of fp32 that
 * it maps. What runs packed or is fp32 already stays where it is.
 */
export async function mappedBase(
  checkpoint: BaseCheckpoint,
  { modules }: ModuleTree,
  at: { onProgress?: OnProgress | undefined; signal?: AbortSignal | undefined },
): Promise<{ checkpoint: BaseCheckpoint; dispose(): Promise<void> }> {
  const names = new Set(
    modules
      .filter(({ kind, path }) => kind === "linear" && !checkpoint.packed?.has(`${path}.weight`))
      .map(weightName),
  );
  const refs = [...names].flatMap((name) => {
    const ref = checkpoint.weights.get(name);
    const isMapped = ref?.dtype === "F32" && !ref.strides;
    return ref && !isMapped && isReadableDtype(ref.dtype) ? [{ name, ref }] : [];
  });
  if (refs.length === 0) return { checkpoint, dispose: () => Promise.resolve() };
  const tensors = refs.map(({ name, ref }, done) => ({
    name,
    dtype: "F32" as const,
    shape: ref.shape,
    bytes: async (): Promise<Uint8Array> => {
      at.onProgress?.({ step: t("Widening weights"), done, total: refs.length, unit: "items" });
      return fromFloat32(await readWeight(ref, at.signal), "F32");
    },
  }));
  const written = await temporaryWeights(checkpoint, tensors, {
    kind: "widened",
    signal: at.signal,
  });
  return { checkpoint: { ...checkpoint, weights: written.weights }, dispose: written.dispose };
}
