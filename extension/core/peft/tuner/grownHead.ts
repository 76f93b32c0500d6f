import { t } from "@vscode/l10n";
import { unsupported } from "../../base/errors.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import { type LinearEffect, mergedWeight } from "../effect.ts";

/**
 * An effect on a head that has grown with its vocabulary, as one on the base's own rows and the new
 * rows behind them, which are fed whole.
 * @param grown the head with all its rows, and `weight`, its table [rows, in]
 * @param rows how many the base has
 */
export function splitAtBase(
  effect: LinearEffect,
  { grown, weight, rows }: { grown: LinearModule; weight: Float32Array; rows: number },
): LinearEffect {
  const { lowRank, delta, outputScale, inputScale, shift, ...others } = effect;
  const [other] = Object.keys(others);
  if (other !== undefined || shift) {
    throw unsupported(
      t(
        "Graft does not run what this adapter does to {0} ({1}) on a vocabulary that has grown",
        grown.path,
        other ?? "shift",
      ),
    );
  }
  const part = (start: number, end: number): LinearEffect => ({
    ...(lowRank && {
      lowRank: { ...lowRank, b: lowRank.b.slice(start * lowRank.rank, end * lowRank.rank) },
    }),
    ...(delta && { delta: delta.slice(start * grown.in, end * grown.in) }),
    ...(outputScale && { outputScale: outputScale.slice(start, end) }),
    ...(inputScale && { inputScale }),
  });
  const size = { in: grown.in, out: grown.out - rows };
  const newRows = mergedWeight(weight.slice(rows * grown.in), part(rows, grown.out), size);
  return { ...part(0, rows), newRows };
}
