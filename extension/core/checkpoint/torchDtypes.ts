import type { Dtype } from "../base/dtype.ts";

/** Element types that torch.save names by the class of their storage. */
export const storageTypes: Readonly<Partial<Record<Dtype, string>>> = {
  F32: "FloatStorage",
  F16: "HalfStorage",
  BF16: "BFloat16Storage",
  F64: "DoubleStorage",
  C64: "ComplexFloatStorage",
  I64: "LongStorage",
  I32: "IntStorage",
  I16: "ShortStorage",
  I8: "CharStorage",
  U8: "ByteStorage",
  BOOL: "BoolStorage",
};

/** Younger element types: their storage is bytes, and the tensor names its type itself. */
export const namedTypes: Readonly<Partial<Record<Dtype, string>>> = {
  F8_E4M3: "float8_e4m3fn",
  F8_E5M2: "float8_e5m2",
  F8_E4M3FNUZ: "float8_e4m3fnuz",
  F8_E5M2FNUZ: "float8_e5m2fnuz",
  F8_E8M0: "float8_e8m0fnu",
  U16: "uint16",
  U32: "uint32",
  U64: "uint64",
};

/** By the name in a pickle: "torch.FloatStorage", "torch.uint16". */
export const dtypesByTorchName: ReadonlyMap<string, Dtype> = new Map(
  [...Object.entries(storageTypes), ...Object.entries(namedTypes)].map(
    ([dtype, name]) => [`torch.${name}`, dtype as Dtype] as const,
  ),
);
