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
import { int } from "../onnx/attributes.ts";
import type { GraphBuilder } from "../onnx/builder.ts";
import { type OnnxType, onnxTypes, type Value } from "../onnx/graph.ts";
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
  const { order, ...parts } = packedParts(g, at);
  return g.matMulNBits(order === undefined ? x : g.gather(x, order, -1), {
    ...parts,
    in: at.w.in,
    out: at.w.out,
    bits: at.w.bits,
    blockSize: at.w.blockSize,
    accuracyLevel: at.w.accuracyLevel,
  });
}

interface PackedParts {
  readonly codes: Value;
  readonly scales: Value;
  readonly zeroPoints?: Value;
  readonly order?: Value;
}

function packedParts(g: GraphBuilder, { w, name }: { w: PackedWeight; name: string }): PackedParts {
  const blocks = blocksOf(w);
  const part = (kind: string, type: OnnxType, shape: number[], range: FileRange): Value =>
    g.initializer(`${name}.${kind}`, type, shape, { kind: "external", ...range });
  const rowBytes = Math.ceil((blocks * w.bits) / 8);
  return {
    codes: part("codes", "uint8", [w.out, blocks, (w.blockSize * w.bits) / 8], w.codes),
    scales: part("scales", "float32", [w.out, blocks], w.scales),
    ...(w.zeroPoints && {
      zeroPoints: part("zero_points", "uint8", [w.out, rowBytes], w.zeroPoints),
    }),
    ...(w.order && { order: part("order", "int64", [w.in], w.order) }),
  };
}

/** The numbers [out, in] of a packed weight, for whoever needs more of it than its product. */
export function unpackedMatrix(g: GraphBuilder, at: { w: PackedWeight; name: string }): Value {
  const { w } = at;
  const { codes, scales, zeroPoints, order } = packedParts(g, at);
  const blocks = blocksOf(w);
  const numbers = g.reshape(unpackedCodes(g, codes, w.bits), [w.out, blocks, w.blockSize]);
  const rows = zeroPoints && g.reshape(unpackedCodes(g, zeroPoints, w.bits), [w.out, -1]);
  // An odd number of blocks leaves half a byte over.
  const zero = rows ? g.unsqueeze(columns(g, rows, blocks), 2) : g.scalar(2 ** (w.bits - 1));
  const scaled = g.mul(g.sub(numbers, zero), g.unsqueeze(scales, 2));
  const matrix = columns(g, g.reshape(scaled, [w.out, -1]), w.in);
  if (order === undefined) return matrix;
  const attributes = { axis: int(-1), largest: int(0), sorted: int(1) };
  const [, places] = g.node("TopK", [order, g.int64s([w.in])], { count: 2, attributes });
  return g.gather(matrix, places as Value, -1);
}

/** Codes as fp32, [..., bytes · 8 / bits]: of two in a byte the low half comes first. */
function unpackedCodes(g: GraphBuilder, codes: Value, bits: 4 | 8): Value {
  const bytes = g.cast(codes, onnxTypes.float32);
  if (bits === 8) return bytes;
  const [high] = g.node("Floor", [g.scale(bytes, 1 / 16)]);
  const low = g.sub(bytes, g.scale(high, 16));
  return g.concat([g.unsqueeze(low, -1), g.unsqueeze(high, -1)], -1);
}

function columns(g: GraphBuilder, x: Value, count: number): Value {
  return g.node("Slice", [x, g.int64s([0]), g.int64s([count]), g.int64s([-1])])[0];
}
