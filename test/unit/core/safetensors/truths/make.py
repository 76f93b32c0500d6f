"""Writes statistics.json beside it: what NumPy says of values that the test makes in the same way."""

import json
import pathlib

import ml_dtypes
import numpy as np

COUNT = 3000


def words(count):
    """The numbers of a linear congruential generator, as the test makes them."""
    out, x = np.empty(count, np.uint32), 1
    for i in range(count):
        x = (x * 1664525 + 1013904223) % 2**32
        out[i] = x
    return out


def patterns(size):
    """Random bytes: every pattern of a small type, NaN and infinities among them."""
    return (words(COUNT * size) >> 24).astype(np.uint8)


def reals(count):
    values = (words(count) / 2**32 - 0.5) * 8
    values[[3, 30]] = np.nan
    values[[5, 50, 500]] = [np.inf, -np.inf, np.inf]
    values[[7, 70]] = [0.0, -0.0]
    return values


TYPES = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "I16": np.int16, "U16": np.uint16,
    "I32": np.int32, "U32": np.uint32, "I64": np.int64, "U64": np.uint64,
    "F16": np.float16, "BF16": ml_dtypes.bfloat16, "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2, "F8_E8M0": ml_dtypes.float8_e8m0fnu,
    "F8_E4M3FNUZ": ml_dtypes.float8_e4m3fnuz, "F8_E5M2FNUZ": ml_dtypes.float8_e5m2fnuz,
}


def truth(values, whole):
    values = np.asarray(values, np.float64)
    finite = values[np.isfinite(values)]
    low, high = finite.min(), finite.max()
    bars, span = 64, (low, high)
    if whole and high - low < 64:
        bars, span = int(high - low) + 1, (low - 0.5, high + 0.5)
    counts, edges = np.histogram(finite, bins=bars, range=span)
    return {
        "min": low, "max": high, "mean": finite.mean(), "std": finite.std(),
        "norm": np.linalg.norm(finite), "zeros": int((finite == 0).sum()),
        "nan": int(np.isnan(values).sum()), "infinite": int(np.isinf(values).sum()),
        "counts": counts.tolist(), "edges": [edges[0], edges[1], edges[-1]],
        "first": [str(v) if not np.isfinite(v) else float(v) for v in values[:8]],
    }


def main():
    table = {}
    for name, dtype in TYPES.items():
        raw = patterns(np.dtype(dtype).itemsize)
        if name == "BOOL":
            raw = raw & 1
        whole = name == "BOOL" or name[0] in "IU"
        table[name] = truth(raw.view(dtype).astype(np.float64), whole)
    table["F32"] = truth(reals(COUNT).astype(np.float32), False)
    table["F64"] = truth(reals(COUNT), False)
    table["C64"] = truth(np.abs(reals(2 * COUNT).astype(np.float32).view(np.complex64).astype(np.complex128)), False)
    path = pathlib.Path(__file__).with_name("statistics.json")
    versions = {"numpy": np.__version__, "ml_dtypes": ml_dtypes.__version__}
    path.write_text(json.dumps({"versions": versions, "count": COUNT, "truths": table}) + "\n")


main()
