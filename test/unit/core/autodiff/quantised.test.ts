import assert from "node:assert/strict";
import { test } from "node:test";
import { withGradients } from "../../../../extension/core/autodiff/withGradients.ts";
import { GraphBuilder } from "../../../../extension/core/onnx/builder.ts";
import type { Value } from "../../../../extension/core/onnx/graph.ts";
import { float32Tensor, OrtSession } from "../../../../extension/core/session/ortSession.ts";
import { difference } from "../support.ts";
import { numbers } from "./check.ts";

interface Packed {
  readonly name: string;
  readonly bits: number;
  readonly width: number;
  readonly hasZeros: boolean;
}

const [out, blockSize] = [6, 16];

const cases: Packed[] = [
  { name: "4 bits", bits: 4, width: 32, hasZeros: false },
  { name: "4 bits, zero points of even rows", bits: 4, width: 32, hasZeros: true },
  { name: "4 bits, zero points of odd rows", bits: 4, width: 48, hasZeros: true },
  { name: "4 bits, a last block that is not full", bits: 4, width: 40, hasZeros: true },
  { name: "8 bits", bits: 8, width: 32, hasZeros: false },
  { name: "8 bits with zero points", bits: 8, width: 48, hasZeros: true },
];

function bytes(count: number, seed: number): Uint8Array {
  return Uint8Array.from(numbers(count, seed), (each) => Math.floor((each + 1) * 127.99));
}

for (const { name, bits, width, hasZeros } of cases) {
  test(`a gradient goes back through a packed weight: ${name}`, async (t) => {
    const blocks = Math.ceil(width / blockSize);
    const codes = bytes((out * blocks * blockSize * bits) / 8, 1);
    const scales = numbers(out * blocks, 2);
    const zeros = bytes(out * Math.ceil((blocks * bits) / 8), 3);
    const g = new GraphBuilder();
    const constant = (key: string, shape: number[], data: Uint8Array): Value =>
      g.initializer(key, "uint8", shape, { kind: "inline", bytes: data });
    const x = g.input("x", "float32", ["batch", width]);
    const y = g.matMulNBits(x, {
      codes: constant("codes", [out, blocks, (blockSize * bits) / 8], codes),
      scales: g.float32s("scales", scales, [out, blocks]),
      ...(hasZeros && { zeroPoints: constant("zeros", [out, zeros.length / out], zeros) }),
      ...{ in: width, out, bits, blockSize, accuracyLevel: 0 },
    });
    g.output(y, "y", "float32", ["batch", out]);
    const weights = g.input("weights", "float32", ["batch", out]);
    const loss = g.mul(y, weights);
    g.output(loss, "loss", "float32", ["batch", out]);
    const session = await OrtSession.create(withGradients(g.build("packed"), { loss, wrt: [x] }));
    t.after(() => session.dispose());
    // Rows of the unit matrix pick columns of the weight, which the gradients must pick as rows.
    const unit = new Float32Array(width * width);
    for (let i = 0; i < width; i++) unit[i * width + i] = 1;
    const dy = numbers(width * out, 5);
    const feeds = {
      x: float32Tensor(unit, [width, width]),
      weights: float32Tensor(dy, [width, out]),
    };
    const results = await session.run(feeds);
    const columns = results["y"]?.data as Float32Array;
    const expected = Float32Array.from({ length: width * width }, (_, at) => {
      const [row, column] = [Math.floor(at / width), at % width];
      let sum = 0;
      for (let o = 0; o < out; o++)
        sum += (dy[row * out + o] as number) * (columns[column * out + o] as number);
      return sum;
    });
    const own = results["grad.x"]?.data as Float32Array;
    assert.deepEqual(results["grad.x"]?.dims, [width, width]);
    const largest = expected.reduce((most, each) => Math.max(most, Math.abs(each)), 0);
    assert(difference(own, expected) < 1e-5 * largest);
  });
}
