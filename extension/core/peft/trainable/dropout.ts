/**
 * Dropout, and numbers by chance, that follow from one number that is fed: the same number, the same
 * masks, so that a resumed run and a recomputed block see what the first pass saw. PEFT draws from
 * torch's generator; its masks are others.
 *
 * Each token has two random words r and s, hashed from its index and the seed; each column of each
 * module has one of its own, c. A number stays where r · c + s (mod 2³²) lies below a threshold: any
 * two places are independent of one another (Carter and Wegman, 1979), for four passes over x.
 */
import { seededRandom } from "../../base/random.ts";
import { int } from "../../onnx/attributes.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import { onnxTypes, type Value } from "../../onnx/graph.ts";
import type { ParameterInputs } from "./parameters.ts";
import { dropoutSeedName } from "./names.ts";

interface Words {
  readonly r: Value;
  readonly s: Value;
}

interface DrawAt {
  /** What the masks of a module differ by from those of others. */
  readonly salt: string;
  /** Of x's last axis; null where each run has another. */
  readonly size: number | null;
  /** The value, or a name, for which the rows are counted: layers with as many tokens share words. */
  readonly rows: Value | "stack" | "texts" | "tokens" | "attention";
}

interface DropoutAt extends DrawAt {
  readonly probability: number;
}

interface MaskAt {
  readonly size: number;
  /** What masks of a module differ by. */
  readonly key: string;
}

/** Masks [size] of a module, 1 where something is left out. */
export interface ModuleMasks {
  /** Each with this probability. */
  some(probability: number, at: MaskAt): Value;
  /** So many of them, whichever. */
  exactly(count: number, at: MaskAt): Value;
}

export class Dropout {
  private readonly words = new WeakMap<GraphBuilder, Map<string, Words>>();

  constructor(
    private readonly inputs: ParameterInputs,
    private readonly seedName = dropoutSeedName,
  ) {}

  /** x [..., size], some of it 0 and the rest scaled up. */
  apply(g: GraphBuilder, x: Value, { probability, ...at }: DropoutAt): Value {
    if (probability <= 0) return x;
    const isKept = g.node("Less", [
      this.hashed(g, x, at),
      int32(g, thresholdOf(1 - probability)),
    ])[0];
    const mask = g.scale(g.cast(isKept, onnxTypes.float32), 1 / (1 - probability));
    return g.mul(x, mask);
  }

  /** Numbers between 0 and 1, neither of them, for x's rows [..., any]: [..., size]. */
  chance(g: GraphBuilder, x: Value, at: DrawAt): Value {
    const word = g.cast(mixed(g, this.hashed(g, x, at)), onnxTypes.float32);
    const share = g.add(g.scale(word, 2 ** -32), g.scalar(0.5));
    // fp32 rounds the largest words to 1, the smallest to 0.
    return g.max(g.node("Min", [share, g.scalar(1 - 2 ** -24)])[0], g.scalar(2 ** -26));
  }

  /** A word for each place, [..., size] int32. */
  private hashed(g: GraphBuilder, x: Value, { salt, size, rows }: DrawAt): Value {
    const own = this.words.get(g) ?? new Map<string, Words>();
    this.words.set(g, own);
    const words = own.get(rows) ?? tokenWords(g, x, this.seed(g));
    own.set(rows, words);
    const columns = size === null ? anyColumns(g, x, salt) : columnWords(g, salt, size);
    return g.add(g.mul(words.r, columns), words.s);
  }

  /** What is left out of a module beside single numbers. */
  masks(g: GraphBuilder, path: string): ModuleMasks {
    const words = ({ size, key }: MaskAt): Value =>
      placeWords(g, { seed: this.seed(g), salt: `${path}.${key}`, size });
    const some: ModuleMasks["some"] = (probability, at) => {
      const isLeftOut = g.node("Less", [words(at), int32(g, thresholdOf(probability))])[0];
      return g.cast(isLeftOut, onnxTypes.float32);
    };
    return {
      some,
      exactly: (count, at) => (count === 0 ? some(0, at) : largest(g, words(at), count)),
    };
  }

  private seed(g: GraphBuilder): Value {
    return this.inputs.declare(g, this.seedName, () => g.input(this.seedName, "int64", [1]));
  }
}

/** Two words for each of x's rows, [..., 1] int32. */
function tokenWords(g: GraphBuilder, x: Value, seed: Value): Words {
  const [leading] = g.node("Shape", [x], { attributes: { start: int(0), end: int(-1) } });
  const [count] = g.node("ReduceProd", [leading], { attributes: { keepdims: int(0) } });
  const index = g.cast(g.range(g.int64Scalar(0), count), onnxTypes.int32);
  const shape = g.concat([leading, g.int64s([1])], 0);
  const own = seedWord(g, seed);
  const word = (offset: number): Value => {
    const start = mixed(g, g.add(own, int32(g, offset)));
    const spread = g.add(g.mul(index, int32(g, 0x9e37_79b1)), start);
    return g.reshapeTo(mixed(g, spread), shape);
  };
  return { r: word(0x165667b1), s: word(0x61c88647) };
}

/** 1 at the largest `count` of some words, 0 elsewhere. */
function largest(g: GraphBuilder, words: Value, count: number): Value {
  const order = g.cast(words, onnxTypes.float32);
  const places = g.node("TopK", [order, g.int64s([count])], { count: 2 })[1] as Value;
  const ones = g.float32s(`const.ones.${count}`, new Float32Array(count).fill(1), [count]);
  const attributes = { axis: int(0) };
  return g.node("ScatterElements", [g.scale(order, 0), places, ones], { attributes })[0];
}

/** A word for each of `size` places of a module, [size] int32. */
function placeWords(
  g: GraphBuilder,
  { seed, salt, size }: { seed: Value; salt: string; size: number },
): Value {
  const start = mixed(g, g.add(seedWord(g, seed), int32(g, hashOf(salt) | 0)));
  return mixed(g, g.add(columnWords(g, salt, size), start));
}

function seedWord(g: GraphBuilder, seed: Value): Value {
  const [low] = g.node("Mod", [seed, g.int64s([2 ** 31])]);
  return g.mul(g.cast(low, onnxTypes.int32), int32(g, 0x27d4_eb2f));
}

/** Words below it are as many as a share of all. */
function thresholdOf(share: number): number {
  return Math.min(Math.round(share * 2 ** 32) - 2 ** 31, 2 ** 31 - 1);
}

/** MurmurHash3's last step (Appleby): every bit of the result depends on every bit of x, int32. */
function mixed(g: GraphBuilder, x: Value): Value {
  const shifted = (value: Value, bits: number): Value => {
    const word = g.cast(value, onnxTypes.uint32);
    const attributes = { direction: { kind: "string", value: "RIGHT" } } as const;
    const [right] = g.node("BitShift", [word, uint32(g, bits)], { attributes });
    return g.cast(g.node("BitwiseXor", [word, right])[0], onnxTypes.int32);
  };
  const first = g.mul(shifted(x, 16), int32(g, 0x85eb_ca6b));
  return shifted(g.mul(shifted(first, 13), int32(g, 0xc2b2_ae35)), 16);
}

/** A word for each column of a module, odd so that none is lost, [size] int32. */
function columnWords(g: GraphBuilder, salt: string, size: number): Value {
  const random = seededRandom(hashOf(salt));
  const words = Int32Array.from({ length: size }, () => (random() * 2 ** 32) | 1);
  const bytes = new Uint8Array(words.buffer);
  return g.initializer(`dropout.${salt}`, "int32", [size], { kind: "inline", bytes });
}

/** The same for as many columns as x has. */
function anyColumns(g: GraphBuilder, x: Value, salt: string): Value {
  const index = g.cast(g.range(g.int64Scalar(0), g.squeeze(g.sizeOf(x, -1), 0)), onnxTypes.int32);
  const start = g.add(g.mul(index, int32(g, 0x9e37_79b1)), int32(g, hashOf(salt)));
  const [odd] = g.node("BitwiseOr", [mixed(g, start), int32(g, 1)]);
  return odd;
}

/** FNV-1a. */
function hashOf(text: string): number {
  let hash = 0x811c_9dc5;
  for (const character of text)
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x0100_0193);
  return hash >>> 0;
}

function int32(g: GraphBuilder, value: number): Value {
  const bytes = new Uint8Array(Int32Array.of(value).buffer);
  return g.initializer(`const.int32.${value}`, "int32", [], { kind: "inline", bytes });
}

function uint32(g: GraphBuilder, value: number): Value {
  const bytes = new Uint8Array(Uint32Array.of(value).buffer);
  return g.initializer(`const.uint32.${value}`, "uint32", [], { kind: "inline", bytes });
}
