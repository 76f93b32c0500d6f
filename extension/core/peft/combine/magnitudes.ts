import { t } from "@vscode/l10n";
import { badRequest } from "../../base/errors.ts";
import { fromFloat32 } from "../../base/halfFloat.ts";
import { weightName } from "../../checkpoint/modules.ts";
import type { TensorData } from "../../safetensors/write.ts";
import type { CombineBase } from "./source.ts";

/**
 * Magnitude of a combined DoRA module [out]: the norm of each of the base's rows, of an embedding each
 * of its columns (PEFT lora/dora.py). PEFT creates the new adapter with it and leaves it there.
 */
export async function freshMagnitude(
  path: string,
  base: CombineBase | undefined,
  signal?: AbortSignal,
): Promise<TensorData> {
  const module = base?.tree.modules.find((each) => each.path === path);
  const weight = module && (await base?.readTensor(weightName(module), signal));
  if (!weight || module.kind === "norm") {
    throw badRequest(
      t("DoRA's magnitude of {0} is made of the base's weight. Name the base.", path),
    );
  }
  const squares = new Float64Array(module.out);
  const isTable = module.kind === "embedding";
  weight.forEach((value, i) => {
    const at = isTable ? i % module.out : Math.floor(i / module.in);
    squares[at] = (squares[at] as number) + value * value;
  });
  return {
    name: `base_model.model.${path}.lora_magnitude_vector`,
    dtype: "F32",
    shape: [module.out],
    bytes: fromFloat32(Float32Array.from(squares, Math.sqrt), "F32"),
  };
}
