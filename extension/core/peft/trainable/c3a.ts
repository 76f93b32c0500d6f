/**
 * C³A (PEFT tuners/c3a): ΔW is made of circulant blocks, ΔW[p b + i, q b + j] = k[p, q, (j − i) mod b] / in.
 * PEFT's own backward (c3a/utils.py) gives inputs another gradient than its forward has, which falsifies
 * those of layers before; here inputs get the forward's.
 */
import type { LinearModule } from "../../onnx/layerHook.ts";
import { blockSize, c3a as method, type C3aConfig } from "../c3a.ts";
import { pick } from "./algebra.ts";
import { normal, zeros } from "./draws.ts";
import { moduleForm, type Settings } from "./moduleForm.ts";
import { refuseField } from "./refuse.ts";

function shapeOf(
  module: LinearModule,
  { config, file }: Settings<C3aConfig>,
): [number, number, number] {
  const size = blockSize(module, config, file);
  return [module.out / size, module.in / size, size];
}

export const c3a = moduleForm<C3aConfig>({
  method,
  tensors: (module, context) => [{ suffix: "c3a_kernel", shape: shapeOf(module, context) }],
  initialize: (module, context) => {
    const { config, random, file } = context;
    const shape = shapeOf(module, context);
    const count = (module.in * module.out) / shape[2];
    const kind = config["init_weights"] ?? "xavier_uniform";
    const within = (bound: number): Float32Array => random.uniform(count, -bound, bound);
    if (kind === true) return { c3a_kernel: zeros(shape) };
    if (kind === "gaussian") return { c3a_kernel: normal(random, shape) };
    if (kind === "kaiming_uniform") return { c3a_kernel: within(Math.sqrt(1 / module.in)) };
    if (kind !== false && kind !== "xavier_uniform")
      refuseField(file, "init_weights", method.peftType);
    return { c3a_kernel: within(Math.sqrt(3) * Math.sqrt(2 / (module.in + module.out))) };
  },
  forward: (g, layer) => {
    const { module, x, base, own } = layer;
    const [rows, columns, size] = shapeOf(module, layer);
    const places = Int32Array.from({ length: size * size }, (_, i) => {
      const [row, column] = [Math.floor(i / size), i % size];
      return (column - row + size) % size;
    });
    const turned = pick(g, own("c3a_kernel"), { name: `circulant.${size}`, places });
    const blocks = g.reshape(turned, [rows, columns, size, size]);
    const delta = g.reshape(g.transpose(blocks, [0, 2, 1, 3]), [module.out, module.in]);
    return g.add(base(x), g.matMulTransposed(x, g.scale(delta, 1 / module.in)));
  },
});
