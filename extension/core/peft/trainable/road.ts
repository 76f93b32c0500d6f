/**
 * RoAd (PEFT tuners/road/layer.py): y = first ⊙ z + second ⊙ rotated(z) with z = W x + b, where halves of
 * each group of outputs are paired and first = α cos θ, second = α sin θ. Training begins with no turn.
 */
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import { road as method, type RoadConfig } from "../road.ts";
import { pick } from "./algebra.ts";
import { filled, normal, zeros } from "./draws.ts";
import { moduleForm } from "./moduleForm.ts";

function sizeOf({ out }: LinearModule, { variant }: RoadConfig): number {
  return variant === "road_1" ? out / 2 : variant === "road_2" ? out : 2 * out;
}

/** Where each output finds the angles of its cosine and of its sine. */
function angles(out: number, { variant, group_size: group }: RoadConfig): [Int32Array, Int32Array] {
  const at = (of: (index: number, inGroup: number) => number): Int32Array =>
    Int32Array.from({ length: out }, (_, o) => of(Math.floor(o / group), o % group));
  const half = group / 2;
  if (variant === "road_1") {
    const places = at((index, i) => index * half + (i % half));
    return [places, places];
  }
  if (variant === "road_2") {
    const places = at((index, i) => index * group + i);
    return [places, places];
  }
  return [at((index, i) => 2 * index * group + i), at((index, i) => (2 * index + 1) * group + i)];
}

/** (−z2, z1) of the halves z1, z2 of every group. */
function rotated(g: GraphBuilder, z: Value, { out, group }: { out: number; group: number }): Value {
  const half = group / 2;
  const isFirst = (o: number): boolean => o % group < half;
  const places = Int32Array.from({ length: out }, (_, o) => (isFirst(o) ? o + half : o - half));
  const signs = Float32Array.from({ length: out }, (_, o) => (isFirst(o) ? -1 : 1));
  const moved = pick(g, z, { name: `halves.${out}.${group}`, places });
  return g.mul(moved, g.float32s(`const.signs.${out}.${group}`, signs, [out]));
}

export const road = moduleForm<RoadConfig>({
  method,
  tensors: (module, { config }) => [
    { suffix: "road_theta", shape: [sizeOf(module, config)] },
    { suffix: "road_alpha", shape: [sizeOf(module, config)] },
  ],
  initialize: (module, { config, random }) => {
    const shape = [sizeOf(module, config)];
    if (config["init_weights"] !== false)
      return { road_theta: zeros(shape), road_alpha: filled(shape, 1) };
    const road_theta = normal(random, shape, [0, 0.5]);
    return { road_theta, road_alpha: normal(random, shape, [1, 0.5]) };
  },
  forward: (g, { module, config, x, base, own }) => {
    const { out } = module;
    const { group_size: group, variant } = config;
    const [cosine, sine] = angles(out, config);
    const part = (name: "cos" | "sin", places: Int32Array): Value => {
      const at = { name: `angles.${variant}.${name}.${out}.${group}`, places };
      const [theta, alpha] = [pick(g, own("road_theta"), at), pick(g, own("road_alpha"), at)];
      return g.mul(alpha, g[name](theta));
    };
    const z = base(x);
    const turned = g.mul(rotated(g, z, { out, group }), part("sin", sine));
    return g.add(g.mul(z, part("cos", cosine)), turned);
  },
});
