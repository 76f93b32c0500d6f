/**
 * Products with frozen weights of few bits (QLoRA, https://arxiv.org/abs/2305.14314): the gradient goes
 * back through the weight as it is stored, which is made whole for that moment alone.
 */
import { int } from "../../onnx/attributes.ts";
import { onnxTypes, type Initializer, type Value } from "../../onnx/graph.ts";
import { type Place, type Rule, withoutRule } from "../place.ts";

/** MatMulNBits: x [..., in] · wᵀ with codes [out, blocks, bytes of a block], scales [out, blocks]. */
const matMulNBits: Rule = (at, dy) => [
  () => {
    const { g } = at;
    const width = at.int("K", 0);
    const w = wholeWeight(at);
    const dx = g.matMul(dy, w.value);
    if (w.width === width) return dx;
    return g.node("Slice", [dx, g.int64s([0]), g.int64s([width]), g.int64s([-1])])[0];
  },
];

/** The weight [out, in] in fp32; `width` counts what fills up the last block. */
function wholeWeight(at: Place): { value: Value; width: number } {
  const { g } = at;
  const [bits, rows, size] = [at.int("bits", 4), at.int("N", 0), at.int("block_size", 0)];
  if (bits !== 4 && bits !== 8) throw withoutRule(at, `${bits} bits`);
  if (at.has(4)) throw withoutRule(at, "g_idx");
  const type = bits === 4 ? "uint4" : "uint8";
  const blocks = Math.ceil(at.int("K", 0) / size);
  const width = blocks * size;
  const codes = retyped(at, 1, { type, shape: [rows, width] });
  const attributes = { axis: int(1), block_size: int(size) };
  const zeros = at.has(3)
    ? storedZeros(at, { type, rows, blocks })
    : usualZeros(at, { type, rows, blocks });
  const value = g.node("DequantizeLinear", [codes, at.x(2), zeros], { attributes })[0];
  return { value, width };
}

interface Zeros {
  readonly type: "uint4" | "uint8";
  readonly rows: number;
  readonly blocks: number;
}

/** Rows of 4-bit numbers begin at a byte: of an odd number of them the last half byte goes. */
function storedZeros(at: Place, { type, rows, blocks }: Zeros): Value {
  if (type === "uint8" || blocks % 2 === 0) return retyped(at, 3, { type, shape: [rows, blocks] });
  const { g } = at;
  const padded = retyped(at, 3, { type, shape: [rows, blocks + 1] });
  const numbers = g.cast(padded, onnxTypes.float32);
  const range = [[0], [blocks], [1]].map((each) => g.int64s(each));
  return g.cast(g.node("Slice", [numbers, ...range])[0], onnxTypes[type]);
}

/** The middle of the range, where nothing else is said. */
function usualZeros({ g }: Place, { type, rows, blocks }: Zeros): Value {
  const count = rows * blocks;
  const bytes =
    type === "uint4"
      ? new Uint8Array(Math.ceil(count / 2)).fill(0x88)
      : new Uint8Array(count).fill(128);
  const name = `const.${type}.middle.${rows}.${blocks}`;
  return g.initializer(name, type, [rows, blocks], { kind: "inline", bytes });
}

/** The same bytes of a constant, read as another type. */
function retyped(
  at: Place,
  input: number,
  { type, shape }: Pick<Initializer, "type" | "shape">,
): Value {
  const tensor = at.around.constantOf(at.node.inputs[input] as Value);
  if (!tensor) throw withoutRule(at, "a weight that is no constant");
  return at.g.initializer(`${tensor.name}.${type}`, type, shape, tensor.data);
}

export const quantised: Readonly<Record<string, Rule>> = { MatMulNBits: matMulNBits };
