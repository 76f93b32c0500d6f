import { t } from "@vscode/l10n";
import { badFile } from "../base/errors.ts";
import { showShape } from "../base/shape.ts";
import type { BaseCheckpoint } from "../checkpoint/baseCheckpoint.ts";
import { sourceName } from "../checkpoint/modules.ts";
import {
  blocksOf,
  type FileRange,
  joinPacked,
  type PackedWeight,
} from "../checkpoint/packedWeight.ts";
import type { GraphBuilder } from "../onnx/builder.ts";
import type { OnnxType, Value } from "../onnx/graph.ts";
import type { LinearModule } from "../onnx/layerHook.ts";

/**
 * A layer's packed weight; undefined where it is stored as a plain tensor.
 * @throws bad-file when its size is not the one that config.json asks for
 */
export function packedWeight(
  { packed, config }: BaseCheckpoint,
  module: LinearModule,
  layers: readonly number[] | null,
): PackedWeight | undefined {
  const name = sourceName(`${module.path}.weight`, layers);
  const w = packed?.get(name);
  if (!w || (w.in === module.in && w.out === module.out)) return w;
  const own = showShape([w.out, w.in]);
  const asked = showShape([module.out, module.in]);
  throw badFile(
    w.codes.file,
    t('tensor "{0}" is {1}, {2} asks for {3}', name, own, config.file, asked),
  );
}

/** The weights of layers on one input as one, or null where they cannot be multiplied at once. */
export function packedGroup(
  checkpoint: BaseCheckpoint,
  modules: readonly LinearModule[],
  layers: readonly number[] | null,
): PackedWeight | null {
  const own = modules.flatMap((module) => packedWeight(checkpoint, module, layers) ?? []);
  return own.length === modules.length ? joinPacked(own) : null;
}

/**
 * x [..., in] · wᵀ of a packed weight.
 * @param name what its parts are called in the graph; the same name is the same weight
 */
export function packedProduct(
  g: GraphBuilder,
  x: Value,
  at: { w: PackedWeight; name: string },
): Value {
  const { w, name } = at;
  const blocks = blocksOf(w);
  const part = (kind: string, type: OnnxType, shape: number[], range: FileRange): Value =>
    g.initializer(`${name}.${kind}`, type, shape, { kind: "external", ...range });
  const rowBytes = Math.ceil((blocks * w.bits) / 8);
  const ordered = w.order ? g.gather(x, part("order", "int64", [w.in], w.order), -1) : x;
  return g.matMulNBits(ordered, {
    codes: part("codes", "uint8", [w.out, blocks, (w.blockSize * w.bits) / 8], w.codes),
    scales: part("scales", "float32", [w.out, blocks], w.scales),
    ...(w.zeroPoints && {
      zeroPoints: part("zero_points", "uint8", [w.out, rowBytes], w.zeroPoints),
    }),
    in: w.in,
    out: w.out,
    bits: w.bits,
    blockSize: w.blockSize,
    accuracyLevel: w.accuracyLevel,
  });
}
