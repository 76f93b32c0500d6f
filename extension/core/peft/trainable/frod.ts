/**
 * FRoD (PEFT tuners/frod): W' = U (S + diag(λ)) Vᵀ with trained λ and entries of a sparse S. V is made for
 * all layers of a role and stored; U and what λ begins with follow from it and the base, so that nothing
 * changes at first.
 *
 * V = Rᵀ E, where R is the triangle of the role's weights on top of each other and E the eigenvectors of the
 * mean of (R⁻ᵀ Wᵢᵀ Wᵢ R⁻¹ + α)⁻¹, smallest eigenvalue first. PEFT has them in single precision and with
 * LAPACK's signs. They change nothing that is learned, but PEFT 0.21 loads U by a V of its own beside the
 * stored one, so that only adapters that it made are trained on.
 */
import { t } from "@vscode/l10n";
import { choleskyOfAnyRank } from "../../base/cholesky.ts";
import { unsupported } from "../../base/errors.ts";
import { columnsAsRows, gram } from "../../base/gram.ts";
import { multiply, solve, transposed } from "../../base/matrix.ts";
import { singularVectors } from "../../base/svd.ts";
import { type TorchGenerator, torchGenerator } from "../../base/torchRandom.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import { onnxTypes, type Value } from "../../onnx/graph.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import { entries, frod as method, type FrodConfig, lambda, roleOf, spectrum } from "../frod.ts";
import { flat, scattered, slice } from "./algebra.ts";
import { normal, zeros } from "./draws.ts";
import {
  type FormContext,
  type FormLayer,
  type Initial,
  type InitialContext,
  moduleForm,
  numberOf,
} from "./moduleForm.ts";

type Targets = readonly LinearModule[];

/** The columns of U [out, in], which no file has. */
const left = "frod_U";

/** What PEFT calls a role's tensors. */
function namesOf(role: string): { basis: string; places: string; size: string } {
  return {
    basis: `frod_V.${role}`,
    places: `frod_s_indices.${role}`,
    size: `frod_s_size.${role}`,
  };
}

/** Bases by role, which modules begin from. */
const made = new WeakMap<TorchGenerator, ReadonlyMap<string, Float32Array>>();

/** Layers by role, roles in PEFT's order. */
function roles(targets: Targets): Map<string, Targets> {
  const byRole = new Map<string, LinearModule[]>();
  for (const module of targets) {
    const role = roleOf(module.path);
    byRole.set(role, [...(byRole.get(role) ?? []), module]);
  }
  return new Map([...byRole].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** How many entries of S are trained. */
function countOf(inputs: number, config: FrodConfig): number {
  const rate = numberOf(config, "sparse_rate", 0.01);
  return Math.max(1, Math.min(Math.trunc(inputs * inputs * rate), inputs * (inputs - 1)));
}

function check({ config, file, targets }: FormContext<FrodConfig>): void {
  if (numberOf(config, "sparse_rate", 0.01) <= 0)
    throw unsupported(t("{0}: with a sparse_rate of 0 FRoD has no S to train", file));
  for (const [role, modules] of roles(targets)) {
    const inputs = (modules[0] as LinearModule).in;
    const rows = modules.reduce((sum, { out }) => sum + out, 0);
    if (rows >= inputs) continue;
    throw unsupported(
      t(
        "{0}: Graft does not train FRoD on {1}: all its layers have {2} outputs, and {3} inputs",
        file,
        role,
        rows,
        inputs,
      ),
      t(
        "PEFT fills its basis up with directions that rounding decides. Target more layers or others.",
      ),
    );
  }
}

/** V [in, in]. With RᵀR = Σ Wᵢᵀ Wᵢ the mean is that of R (Wᵢᵀ Wᵢ + α RᵀR)⁻¹ Rᵀ. */
async function basisOf(
  modules: Targets,
  context: InitialContext<FrodConfig>,
): Promise<Float32Array> {
  const { config, file, weight } = context;
  const { path, in: size } = modules[0] as LinearModule;
  const own: Float64Array[] = [];
  for (const module of modules)
    own.push(gram(columnsAsRows(await weight(module), { rows: module.out, columns: size })));
  const sumOf = (all: readonly Float64Array[]): Float64Array =>
    Float64Array.from({ length: size * size }, (_, i) =>
      all.reduce((sum, each) => sum + (each[i] as number), 0),
    );
  const all = sumOf(own);
  const ridge = numberOf(config, "regularization_alpha", 1e-3);
  const unit = all.map((_, i) => (i % (size + 1) === 0 ? 1 : 0));
  const inverses = own.map((each) => {
    const shifted = each.map((value, i) => value + ridge * (all[i] as number));
    const inverse = solve(shifted, unit, { size, columns: size });
    if (inverse) return inverse;
    throw unsupported(
      t(
        "{0}: the weights of {1} span less than their inputs, which FRoD needs",
        file,
        roleOf(path),
      ),
    );
  });
  const square = { rows: size, inner: size, columns: size };
  const lower = choleskyOfAnyRank(all, size);
  const sum = multiply(
    transposed(lower, size, size),
    multiply(sumOf(inverses), lower, square),
    square,
  );
  const { right } = singularVectors(sum, { rows: size, columns: size, count: size });
  const vectors = sum.map((_, i) => right[size - 1 - (i % size)]?.[Math.floor(i / size)] ?? 0);
  return Float32Array.from(withSigns(multiply(lower, vectors, square), size));
}

/** Columns [size, size] whose largest entries are positive. */
function withSigns(v: Float64Array, size: number): Float64Array {
  const largest = new Float64Array(size);
  v.forEach((value, i) => {
    if (Math.abs(value) > Math.abs(largest[i % size] as number)) largest[i % size] = value;
  });
  return v.map((value, i) => ((largest[i % size] as number) < 0 ? -value : value));
}

/** Places of S's entries [2, count], none on the diagonal, of PEFT's generator of all roles. */
function placesOf(size: number, count: number, random: TorchGenerator): Float32Array {
  const order = random.permutation(size * (size - 1)).subarray(0, count);
  const places = new Float32Array(2 * count);
  order.forEach((place, i) => {
    const row = Math.floor(place / (size - 1));
    const column = place % (size - 1);
    places[i] = row;
    places[count + i] = column < row ? column : column + 1;
  });
  return places;
}

async function initializeShared(context: InitialContext<FrodConfig>): Promise<Initial> {
  const { config, targets, random } = context;
  const generator = torchGenerator(numberOf(config, "projection_prng_key"));
  const bases = new Map<string, Float32Array>();
  const shared: Record<string, Float32Array> = {};
  for (const [role, modules] of roles(targets)) {
    const size = (modules[0] as LinearModule).in;
    const names = namesOf(role);
    const v = await basisOf(modules, context);
    bases.set(role, v);
    shared[names.basis] = v;
    shared[names.places] = placesOf(size, countOf(size, config), generator);
    shared[names.size] = Float32Array.of(size, size);
  }
  made.set(random, bases);
  return shared;
}

/** S [in, in], at places that are fed. */
function sparse(g: GraphBuilder, { module, own, shared }: FormLayer<FrodConfig>): Value {
  const names = namesOf(roleOf(module.path));
  const places = g.cast(shared(names.places), onnxTypes.int64);
  const [rows, columns] = g.split(places, [1, 1], 0) as [Value, Value];
  const size = g.cast(shared(names.size), onnxTypes.int64);
  const width = slice(g, size, { from: 1, to: 2, axis: 0 });
  const flatPlaces = flat(g, g.add(g.mul(rows, width), columns));
  const at = { values: own(entries), places: flatPlaces };
  return scattered(g, { ...at, rows: module.in, columns: module.in });
}

export const frod = moduleForm<FrodConfig>({
  method,
  whyNotNew: () =>
    t(
      "PEFT makes the basis anew when it loads an adapter, up to signs and rounding of its LAPACK that U depends on: it would run another adapter than was trained.",
    ),
  check,
  dropout: (config) => numberOf(config, "frod_dropout"),
  tensors: (module, { config }) => [
    { suffix: lambda, shape: [module.in] },
    { suffix: entries, shape: [countOf(module.in, config)] },
    { suffix: left, shape: [module.out, module.in], isTrained: false, isStored: false },
  ],
  shared: ({ config, targets }) =>
    [...roles(targets)].flatMap(([role, modules]) => {
      const size = (modules[0] as LinearModule).in;
      const names = namesOf(role);
      return [
        { suffix: names.basis, shape: [size, size], isTrained: false },
        { suffix: names.places, shape: [2, countOf(size, config)], isTrained: false },
        { suffix: names.size, shape: [2], isTrained: false },
      ];
    }),
  initializeShared,
  initialize: async (module, { config, file, random, weight }) => {
    const v = made.get(random)?.get(roleOf(module.path)) as Float32Array;
    const { lengths, directions } = spectrum(v, await weight(module), { module, file });
    const count = countOf(module.in, config);
    const u = Float32Array.from(transposed(directions, module.in, module.out));
    if (config["init_weights"] !== false)
      return { [lambda]: lengths, [entries]: zeros([count]), [left]: u };
    const drawn = normal(random, [count], [0, 0.1]);
    const noise = normal(random, [module.in], [0, 0.1]);
    const moved = lengths.map((value, i) => value + (noise[i] as number));
    return { [lambda]: moved, [entries]: drawn, [left]: u };
  },
  derive: async (module, { file, weight, shared }) => {
    const v = shared(namesOf(roleOf(module.path)).basis);
    const { directions } = spectrum(v, await weight(module), { module, file });
    return { [left]: Float32Array.from(transposed(directions, module.in, module.out)) };
  },
  forward: (g, layer) => {
    const { module, config, x, base, product, bias, own, shared, dropout } = layer;
    const h = dropout(x);
    const z = g.matMul(h, shared(namesOf(roleOf(module.path)).basis));
    const turned = g.add(g.matMulTransposed(z, sparse(g, layer)), g.mul(z, own(lambda)));
    const y = g.matMulTransposed(turned, own(left));
    // What is dropped out of the adapted weight's input is dropped out of the base's that it replaces.
    if (numberOf(config, "frod_dropout") > 0) return g.add(g.sub(base(x), product(h)), y);
    const b = bias();
    return b === null ? y : g.add(y, b);
  },
});
