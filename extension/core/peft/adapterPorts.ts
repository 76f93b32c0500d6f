import { t } from "@vscode/l10n";
import { badRequest, unsupported } from "../base/errors.ts";
import type { ModuleTree } from "../checkpoint/modules.ts";
import { bareLayers, type LayerHook, oneByOne } from "../onnx/layerHook.ts";
import type { AdapterEffects, LowRank } from "./effect.ts";
import { transposeInto } from "./slots/packing.ts";
import type { ActiveEffects } from "./activeEffects.ts";
import type { SlotTensor } from "./slots/slotTensors.ts";

/** Input of a factor, named as Olive names it and as `.onnx_adapter` files do. */
function factorPort(path: string, factor: "A" | "B"): string {
  return `${path}.lora_${factor}.weight`;
}

/**
 * Gives each of these layers two inputs of its own, A [in, r] and B [r, out] with the scaling in B;
 * r may be 0. Sessions of Graft put layers of a group together (slots/lowRankSlot.ts); other tools know one pair
 * a layer.
 */
export function adapterPortsHook(paths: ReadonlySet<string>): LayerHook {
  return {
    ...bareLayers,
    linears: (g, group, { x, base }) => {
      const y = base(x);
      if (!group.modules.some(({ path }) => paths.has(path))) return y;
      const updates = group.modules.map(({ path, in: inputs, out }) => {
        if (!paths.has(path)) return null;
        const rank = `${path}.rank`;
        const a = g.input(factorPort(path, "A"), "float32", [inputs, rank]);
        const b = g.input(factorPort(path, "B"), "float32", [rank, out]);
        return g.matMul(g.matMul(x, a), b);
      });
      return oneByOne(g, group, y).map((part, i) => {
        const update = updates[i];
        return update ? g.add(part, update) : part;
      });
    },
  };
}

/**
 * Layers that adapters change, with their sizes.
 * @throws unsupported for what two factors a layer cannot express
 */
export function portSizes(
  { modules }: ModuleTree,
  active: readonly ActiveEffects[],
): Map<string, { in: number; out: number }> {
  const paths = new Set(active.flatMap(({ effects }) => plainPaths(effects)));
  return new Map(
    modules.flatMap((module) =>
      module.kind === "linear" && paths.has(module.path)
        ? [[module.path, { in: module.in, out: module.out }] as const]
        : [],
    ),
  );
}

function plainPaths({ linear, ...rest }: AdapterEffects): string[] {
  const [stranger] = Object.entries(rest).flatMap(([part, value]) => {
    const isEmpty = (value instanceof Map || value instanceof Set) && value.size === 0;
    return value === undefined || isEmpty ? [] : [part];
  });
  const strange = [...linear].find(([, effect]) =>
    Object.keys(effect).some((part) => !["lowRank", "rotation", "taken"].includes(part)),
  );
  if (stranger === undefined && strange === undefined) return [...linear.keys()];
  throw unsupported(
    t(
      "Inputs of an ONNX model hold low-rank updates of linear layers; this adapter changes {0}",
      strange ? t("{0} otherwise", strange[0]) : t("more than those ({0})", stranger ?? ""),
    ),
    t("Export it merged, or convert it to LoRA first."),
  );
}

/**
 * What the ports of `sizes` are fed for active adapters; layers that none of them changes get rank 0.
 * @throws bad-request for more than one adapter: a port holds one
 */
export function portTensors(
  sizes: ReadonlyMap<string, { in: number; out: number }>,
  active: readonly ActiveEffects[],
): SlotTensor[] {
  if (active.length > 1) throw badRequest(t("Ports are fed with one adapter at a time."));
  const [only] = active;
  return [...sizes].flatMap(([path, size]) => {
    const own = only?.effects.linear.get(path)?.lowRank;
    const rank = own?.rank ?? 0;
    const { a, b } = own ? turned(own, { ...size, weight: only?.weight ?? 1 }) : empty;
    return [
      { name: factorPort(path, "A"), shape: [size.in, rank], data: a },
      { name: factorPort(path, "B"), shape: [rank, size.out], data: b },
    ];
  });
}

const empty = { a: new Float32Array(0), b: new Float32Array(0) };

function turned(
  { a, b, rank }: LowRank,
  size: { in: number; out: number; weight: number },
): { a: Float32Array; b: Float32Array } {
  const ofA = new Float32Array(a.length);
  const ofB = new Float32Array(b.length);
  transposeInto(ofA, a, { rows: rank, columns: size.in, stride: rank, offset: 0 });
  transposeInto(ofB, b, { rows: size.out, columns: rank, stride: size.out, offset: 0 });
  return { a: ofA, b: ofB.map((value) => value * size.weight) };
}
