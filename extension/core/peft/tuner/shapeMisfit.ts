import { t } from "@vscode/l10n";
import { type GraftError, misfit } from "../../base/errors.ts";
import { isSameShape, type Shape, showShape } from "../../base/shape.ts";
import type { AdapterCheckpoint } from "../../checkpoint/adapterCheckpoint.ts";
import type { ModuleInfo } from "../../checkpoint/modules.ts";
import type { TensorEntry } from "../../safetensors/header.ts";

/** The error for a tensor of another shape than its place on this base has, with the likely reason. */
export function shapeMisfit(
  adapter: AdapterCheckpoint,
  at: { name: string; entry: TensorEntry; wanted: Shape; module?: ModuleInfo | undefined },
): GraftError {
  const { name, entry, wanted, module } = at;
  const { baseName } = adapter.config;
  const reason = likelyReason(entry.shape, wanted, module);
  const { file } = adapter.weights;
  return misfit(
    [
      t(
        '{0}: tensor "{1}" is {2}, {3} of this base needs {4}.',
        file,
        entry.name,
        showShape(entry.shape),
        name,
        showShape(wanted),
      ),
      ...(reason ? [reason] : []),
      ...(baseName ? [t("The adapter was trained on {0}.", baseName)] : []),
    ].join(" "),
    {
      ...{ file, tensor: entry.name, module: name, saysBase: baseName !== null },
      ...(reason && { reason }),
    },
  );
}

/** Why a tensor is of another size: the base, its vocabulary, the config, or how it was written. */
function likelyReason(shape: Shape, wanted: Shape, module: ModuleInfo | undefined): string {
  if (shape.length !== wanted.length) return t("It was written by another method or tool.");
  if (isSameShape([...shape].reverse(), wanted)) return t("It is transposed.");
  if (!module || module.kind === "norm") return "";
  const differing = wanted.map((_, i) => i).filter((i) => shape[i] !== wanted[i]);
  const isBase = (i: number): boolean => wanted[i] === module.in || wanted[i] === module.out;
  if (!differing.some(isBase)) {
    return t(
      "File and config disagree: the rank or the pattern that gives it is not the one it was saved with.",
    );
  }
  const at = differing.find(isBase) as number;
  const isInput = wanted[at] === module.in;
  const sizes = t("{0} instead of {1}", String(shape[at]), String(wanted[at]));
  if (module.kind === "embedding" && isInput) {
    return t("The vocabulary was resized, or the base is another one: {0} tokens.", sizes);
  }
  return t("It was made for another base: {0} {1}.", sizes, isInput ? "inputs" : "outputs");
}
