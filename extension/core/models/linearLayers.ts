import { sourceName, storedShape, weightName } from "../checkpoint/modules.ts";
import type { PackedWeight } from "../checkpoint/packedWeight.ts";
import type { Value } from "../onnx/graph.ts";
import type { LinearGroup, LinearModule } from "../onnx/layerHook.ts";
import type { CheckpointWeights } from "./checkpointWeights.ts";
import { packedGroup, packedProduct, packedWeight, unpackedMatrix } from "./packedLinear.ts";

/** Linear layers as the base computes them, by weights that are plain or packed. */
export class LinearLayers {
  constructor(private readonly weights: CheckpointWeights) {}

  /** x [..., in] → W x + b [..., out] */
  apply(x: Value, module: LinearModule): Value {
    const { g } = this.weights;
    const w = this.packed(module);
    const y = w
      ? packedProduct(g, x, { w, name: sourceName(module.path, this.weights.layers) })
      : this.plainProduct(x, module);
    const bias = this.bias(module);
    return bias === null ? y : g.add(y, bias);
  }

  /** All layers of a group in one product [..., Σ out], where their packed weights lie together; else null. */
  together(x: Value, { name, modules }: LinearGroup): Value | null {
    const { g, checkpoint, layers } = this.weights;
    const w = modules.length > 1 ? packedGroup(checkpoint, modules, layers) : null;
    if (w === null) return null;
    const y = packedProduct(g, x, { w, name: sourceName(name, layers) });
    if (!modules.some(({ hasBias }) => hasBias)) return y;
    const biases = modules.map(
      (module) =>
        this.bias(module) ??
        g.float32s(`const.float32.zeros.${module.out}`, new Float32Array(module.out), [module.out]),
    );
    return g.add(y, g.concat(biases, 0));
  }

  /** A layer's weight as y = W x, [out, in]. */
  matrix(module: LinearModule): Value {
    const { g, layers } = this.weights;
    const w = this.packed(module);
    if (w) return unpackedMatrix(g, { w, name: sourceName(module.path, layers) });
    const stored = this.weights.read(weightName(module), storedShape(module));
    return module.isTransposed ? g.transpose(stored, [1, 0]) : this.flat(stored, module);
  }

  /** [out], or null where a layer has none. */
  bias({ path, out, hasBias }: LinearModule): Value | null {
    return hasBias ? this.weights.read(`${path}.bias`, [out]) : null;
  }

  private packed(module: LinearModule): PackedWeight | undefined {
    return packedWeight(this.weights.checkpoint, module, this.weights.layers);
  }

  private plainProduct(x: Value, module: LinearModule): Value {
    const { g } = this.weights;
    const stored = this.weights.read(weightName(module), storedShape(module));
    if (module.isTransposed) return g.matMul(x, stored);
    return g.matMulTransposed(x, this.flat(stored, module));
  }

  /** A convolution's kernels as rows of a matrix. */
  private flat(stored: Value, { kernel, in: inputs, out }: LinearModule): Value {
    return kernel ? this.weights.g.reshape(stored, [out, inputs]) : stored;
  }
}
