import { type MatrixProducts, productsOf } from "../../base/lowRankSvd.ts";
import { matrixProducts } from "../../session/matrixProducts.ts";

/** Numbers of a matrix from which on ONNX Runtime's products are worth what they cost to ask for. */
const worthIt = 100_000;

/** Products with a matrix that is in memory: in double precision where it is small, else in float32. */
export function quickProducts(
  matrix: ArrayLike<number>,
  size: { rows: number; columns: number },
): MatrixProducts {
  if (size.rows * size.columns < worthIt) return productsOf(matrix, size);
  const own = Float32Array.from(matrix);
  const product = async (
    x: Float64Array,
    width: number,
    isTurned: boolean,
  ): Promise<Float64Array> =>
    Float64Array.from(
      await matrixProducts.product(own, Float32Array.from(x), { ...size, width, isTurned }),
    );
  return {
    times: (x, width) => product(x, width, false),
    timesTransposed: (y, width) => product(y, width, true),
  };
}
