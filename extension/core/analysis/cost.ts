/** What an adapter takes at run time: graph inputs that are fed (peft/slots/), and their products. */
import type { ModuleTree } from "../checkpoint/modules.ts";
import { groupSize, type LinearGroup } from "../onnx/layerHook.ts";
import type { AdapterEffects, LinearEffect } from "../peft/effect.ts";
import type { MethodBase } from "../peft/method.ts";
import type { SlotKind } from "../peft/slots/slotPlan.ts";

export type CostKind =
  | SlotKind
  | "embedding"
  | "norm"
  | "attention"
  | "experts"
  | "virtualTokens"
  | "cachePrefix"
  | "router"
  | "companion";

export interface CostPart {
  kind: CostKind;
  modules: number;
  /** As fp32. */
  bytes: number;
  /** For a token; a multiplication and an addition are two. */
  flops: number;
  needs: "nothing" | "rebuiltSession" | "extraPass";
}

/** Numbers fed and operations for one module or group. */
interface Share {
  readonly numbers: number;
  readonly flops: number;
}

/** Ranks and sizes of a layer's parts, without their values. */
export type EffectShape = Partial<Record<SlotKind, number>>;

/** What of an effect decides on its cost: ranks, or 1 where a part has no rank. */
function shapeOf(effect: LinearEffect, inputs: number): EffectShape {
  const { lowRank, gated, delta, routed, fed, inputScale, outputScale, shift, newRows } = effect;
  return {
    ...(lowRank && { lowRank: lowRank.rank }),
    ...(gated && { gated: gated.rank }),
    ...(delta && { delta: 1 }),
    ...(routed && { routed: routed.rank }),
    ...(fed && { fed: fed.rank }),
    ...(inputScale && { inputScale: 1 }),
    ...(outputScale && { outputScale: 1 }),
    ...(shift && { shift: 1 }),
    ...(newRows && { newRows: newRows.length / inputs }),
  };
}

/** Adds up what modules are fed, one after the other. */
export class CostSum {
  private readonly linear = new Map<string, EffectShape>();
  private readonly others = new Map<CostKind, CostPart>();

  constructor(private readonly base: MethodBase) {}

  /** Counts a module's own effects, of which nothing is kept but sizes. */
  addModule(path: string, effects: AdapterEffects): void {
    const module = this.base.tree.modules.find((each) => each.path === path);
    const effect = effects.linear.get(path);
    if (effect && module?.kind === "linear") this.linear.set(path, shapeOf(effect, module.in));
    if (effects.embeddings?.has(path)) {
      const dim = module?.out ?? 0;
      this.add("embedding", { numbers: dim, flops: 2 * dim });
    }
    for (const values of effects.norms?.values() ?? []) {
      this.add("norm", { numbers: values.length, flops: 0 });
    }
    const expert = effects.experts?.get(path);
    if (expert) {
      const { a, b } = expert;
      // One expert's factors multiply a token's row, for each expert that the token is sent to.
      const experts = expertsOf(this.base, path);
      const numbers = a.length + b.length;
      this.add("experts", { numbers, flops: (2 * numbers * experts.chosen) / experts.count });
    }
  }

  /** Counts what is not of one module. */
  addRest(effects: AdapterEffects): void {
    const { virtualTokens, cachePrefix, attention, router, companion } = effects;
    const [tokens] = virtualTokens?.tasks ?? [];
    if (tokens) this.add("virtualTokens", { numbers: tokens.length, flops: 0 });
    const sides = [...(cachePrefix?.keys ?? []), ...(cachePrefix?.values ?? [])];
    if (cachePrefix) {
      const numbers = sides.reduce((sum, { length }) => sum + length, 0);
      const { layers, heads, headDim } = this.base.attention;
      // Every new token looks at each of them: scores and their mix.
      this.add("cachePrefix", { numbers, flops: 4 * cachePrefix.count * layers * heads * headDim });
    }
    for (const { keys, values, count } of attention?.values() ?? []) {
      const { heads, headDim } = this.base.attention;
      const numbers = keys.length + values.length;
      this.add("attention", { numbers, flops: 4 * count * heads * headDim });
    }
    // The base runs once more before each answer.
    if (router) this.add("router", { numbers: 0, flops: baseFlops(this.base) });
    if (companion) {
      const refs = [...companion.weights.values()];
      const numbers = refs.reduce(
        (sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1),
        0,
      );
      this.add("companion", { numbers, flops: 2 * numbers });
    }
  }

  parts(): CostPart[] {
    const sums = new Map(this.others);
    for (const group of this.base.groups) {
      for (const kind of kindsIn(group, this.linear)) {
        const modules = group.modules.filter(({ path }) => this.linear.get(path)?.[kind]);
        const part = sums.get(kind) ?? emptyPart(kind);
        const { numbers, flops } = shareOf(kind, group, this.linear);
        part.modules += modules.length;
        part.bytes += 4 * numbers;
        part.flops += flops;
        sums.set(kind, part);
      }
    }
    return [...sums.values()];
  }

  private add(kind: CostKind, { numbers, flops }: Share): void {
    const part = this.others.get(kind) ?? emptyPart(kind);
    part.modules += 1;
    part.bytes += 4 * numbers;
    part.flops += flops;
    this.others.set(kind, part);
  }
}

function emptyPart(kind: CostKind): CostPart {
  return { kind, modules: 0, bytes: 0, flops: 0, needs: needs(kind) };
}

function needs(kind: CostKind): CostPart["needs"] {
  if (kind === "router" || kind === "companion") return "extraPass";
  const isReady = kind === "lowRank" || kind === "virtualTokens" || kind === "cachePrefix";
  return isReady ? "nothing" : "rebuiltSession";
}

function kindsIn(group: LinearGroup, shapes: ReadonlyMap<string, EffectShape>): Set<SlotKind> {
  const own = group.modules.flatMap(({ path }) => Object.keys(shapes.get(path) ?? {}));
  return new Set(own as SlotKind[]);
}

/** A group is fed as one: ranks side by side, outputs of all its modules. */
function shareOf(
  kind: SlotKind,
  group: LinearGroup,
  shapes: ReadonlyMap<string, EffectShape>,
): Share {
  const { in: inputs, out } = groupSize(group);
  const size = group.modules.reduce((sum, { path }) => sum + (shapes.get(path)?.[kind] ?? 0), 0);
  switch (kind) {
    case "lowRank":
    case "gated":
    case "routed":
    case "fed":
      return { numbers: size * (inputs + out), flops: 2 * size * (inputs + out) };
    case "delta":
      return { numbers: inputs * out, flops: 2 * inputs * out };
    case "newRows":
      return { numbers: size * inputs, flops: 2 * size * inputs };
    case "inputScale":
      return { numbers: inputs * group.modules.length, flops: inputs * group.modules.length };
    case "outputScale":
    case "shift":
      return { numbers: out, flops: out };
    default:
      return kind satisfies never;
  }
}

/** Operations of the base's matrices for a token; of experts those that a token is sent to. */
export function baseFlops(base: MethodBase): number {
  const linear = base.tree.modules.reduce(
    (sum, module) => (module.kind === "linear" ? sum + 2 * module.in * module.out : sum),
    0,
  );
  return (base.tree.experts ?? []).reduce((sum, { path, parameters }) => {
    const { chosen } = expertsOf(base, path);
    return parameters.reduce((own, matrix) => own + 2 * chosen * matrix.in * matrix.out, sum);
  }, linear);
}

function expertsOf({ tree, config }: MethodBase, path: string): { count: number; chosen: number } {
  const count = stackOf(tree, path)?.count ?? 1;
  const chosen = config.raw["num_experts_per_tok"];
  return { count, chosen: typeof chosen === "number" ? Math.min(chosen, count) : count };
}

function stackOf({ experts = [] }: ModuleTree, path: string): { count: number } | undefined {
  return experts.find((stack) => path === stack.path || path.startsWith(`${stack.path}.`));
}
