/**
 * Lily (PEFT tuners/lily): y = W x + s (Σ p_e B_e) A x, p the mean over all tokens of softmax(R A x). Layers of
 * a kind share their B, so many in a row their A: each belongs to the first of them, and the file has it
 * under all.
 */
import type { LinearModule } from "../../onnx/layerHook.ts";
import { lily as method, type LilyConfig, sharersOf } from "../lily.ts";
import { kaiming, zeros } from "./draws.ts";
import { type FormContext, moduleForm } from "./moduleForm.ts";

const [down, up, router] = ["lily_A.weight", "lily_B.weight", "lily_router.weight"];

function sharers(
  module: LinearModule,
  suffix: string,
  { config, targets }: Pick<FormContext<LilyConfig>, "config" | "targets">,
): [LinearModule, ...LinearModule[]] {
  return suffix === router ? [module] : sharersOf(module, suffix, { config, targets });
}

export const lily = moduleForm<LilyConfig>({
  method,
  tensors: (module, context) => {
    const { r, num_B: experts } = context.config;
    const all = [
      { suffix: down, shape: [r, module.in] },
      { suffix: up, shape: [experts * r, module.out] },
      { suffix: router, shape: [experts, r] },
    ];
    return all.flatMap((own) => {
      const [first, ...others] = sharers(module, own.suffix, context);
      return first.path === module.path ? [{ ...own, sharers: others }] : [];
    });
  },
  owner: (module, suffix, context) => sharers(module, suffix, context)[0],
  initialize: (module, context) => {
    const { config, random } = context;
    const { r, num_B: experts } = config;
    const shapes = {
      [down]: [r, module.in],
      [up]: [experts * r, module.out],
      [router]: [experts, r],
    };
    const draw = (suffix: string): Float32Array => kaiming(random, shapes[suffix] as number[]);
    // New layers draw, then all are drawn once more; sharing comes after.
    for (const suffix of [down, up, router]) draw(suffix);
    const own = { [down]: draw(down), [router]: draw(router) };
    const isZero = config["init_weights"] !== false;
    const made: Record<string, Float32Array> = {
      ...own,
      [up]: isZero ? zeros(shapes[up] as number[]) : draw(up),
    };
    const isOwn = (suffix: string): boolean =>
      sharers(module, suffix, context)[0].path === module.path;
    return Object.fromEntries(Object.entries(made).filter(([suffix]) => isOwn(suffix)));
  },
  forward: (g, { module, config, x, base, own }) => {
    const { r, num_B: experts, scaling } = config;
    const hidden = g.matMulTransposed(x, own(down));
    const shares = g.mean(g.softmax(g.matMulTransposed(hidden, own(router))), [0, 1]);
    const ups = g.reshape(own(up), [experts, r * module.out]);
    const mixed = g.reshape(g.matMul(g.reshape(shares, [1, experts]), ups), [r, module.out]);
    return g.add(base(x), g.scale(g.matMul(hidden, mixed), scaling));
  },
});
