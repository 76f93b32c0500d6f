import { multiply, type Multiply } from "../base/matrix.ts";
import { int } from "../onnx/attributes.ts";
import { GraphBuilder } from "../onnx/builder.ts";
import { float32Tensor, float64Tensor, OrtSession } from "./ortSession.ts";

interface ProductOf {
  /** Of the matrix. */
  readonly rows: number;
  readonly columns: number;
  /** Columns of what it is multiplied with. */
  readonly width: number;
  /** Multiply with the transposed matrix. */
  readonly isTurned: boolean;
}

/** Products of matrices on all cores, for computing beside a model; sessions are made once a process. */
class MatrixProductSessions {
  private readonly sessions = new Map<boolean, Promise<OrtSession>>();

  /** matrix [rows, columns] · x [columns, width], or its transposed · x [rows, width]. */
  async product(matrix: Float32Array, x: Float32Array, of: ProductOf): Promise<Float32Array> {
    const session = await this.sessionFor(of.isTurned);
    const inner = of.isTurned ? of.rows : of.columns;
    const results = await session.run({
      matrix: float32Tensor(matrix, [of.rows, of.columns]),
      x: float32Tensor(x, [inner, of.width]),
    });
    return results["y"]?.data as Float32Array;
  }

  private sessionFor(isTurned: boolean): Promise<OrtSession> {
    const known = this.sessions.get(isTurned) ?? open(isTurned);
    this.sessions.set(isTurned, known);
    return known;
  }
}

export const matrixProducts = new MatrixProductSessions();

/** Fewer multiplications than this take JavaScript no longer than asking somebody else. */
const worthIt = 2e6;

let precise: Promise<OrtSession> | null = null;

/** a · b in double precision, large ones on all cores. */
export const preciseProduct: Multiply = async (a, b, size) => {
  const { rows, inner, columns } = size;
  if (rows * inner * columns < worthIt) return multiply(a, b, size);
  precise ??= openPrecise();
  const results = await (
    await precise
  ).run({
    a: float64Tensor(a, [rows, inner]),
    b: float64Tensor(b, [inner, columns]),
  });
  return results["y"]?.data as unknown as Float64Array;
};

function openPrecise(): Promise<OrtSession> {
  const g = new GraphBuilder();
  const a = g.input("a", "float64", ["rows", "inner"]);
  const b = g.input("b", "float64", ["inner", "columns"]);
  g.output(g.matMul(a, b), "y", "float64", ["rows", "columns"]);
  return OrtSession.create(g.build("precise product"), { plansMemory: false });
}

function open(isTurned: boolean): Promise<OrtSession> {
  const g = new GraphBuilder();
  const matrix = g.input("matrix", "float32", ["rows", "columns"]);
  const x = g.input("x", "float32", ["inner", "width"]);
  const attributes = { transA: int(isTurned ? 1 : 0) };
  const y = g.node("Gemm", [matrix, x], { attributes })[0];
  g.output(y, "y", "float32", [isTurned ? "columns" : "rows", "width"]);
  return OrtSession.create(g.build("product"), { plansMemory: false });
}
