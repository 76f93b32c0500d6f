import { t } from "@vscode/l10n";
import { isTied, type ModuleInfo, type ModuleTree, weightName } from "../checkpoint/modules.ts";
import { type LinearGroup, linearGroup, type LinearModule } from "../onnx/layerHook.ts";
import type { GraphIndex } from "./graphIndex.ts";
import { type LinearSite, linearSites } from "./linearSites.ts";
import { type MappedEmbedding, mapEmbeddings, type MappedNorm, mapNorms } from "./mapOthers.ts";
import { means, modulePath, type Rule, scopeOf, spelled } from "./names.ts";

/** A product and the modules that it computes, side by side in its output. */
export interface MappedLinear {
  readonly site: LinearSite;
  readonly modules: readonly LinearModule[];
  readonly rule: Rule;
}

/** A module of the model that was not found in the graph, and why. */
export interface MissingModule {
  readonly path: string;
  readonly reason: string;
}

/** Where the modules of a model are in its export. */
export interface ExportMap {
  readonly linears: readonly MappedLinear[];
  readonly embeddings: readonly MappedEmbedding[];
  readonly norms: readonly MappedNorm[];
  readonly missing: readonly MissingModule[];
}

/** Layers that exporters lay side by side, by the name that they give to the whole. */
const packings: Readonly<Record<string, readonly string[]>> = {
  qkv_proj: ["q_proj", "k_proj", "v_proj"],
  gate_up_proj: ["gate_proj", "up_proj"],
};

/** The model as config.json describes it, in the order of computation. */
export interface ExpectedModules {
  readonly tree: ModuleTree;
  readonly groups: readonly LinearGroup[];
}

/** Finds the modules of a model in its export by the rules of docs/exports.md, the surest first. */
export function mapModules(index: GraphIndex, expected: ExpectedModules): ExportMap {
  const sites = linearSites(index);
  const linears = new LinearMapping(expected);
  for (const site of sites) linears.take(site);
  linears.byOrder(sites);
  const embeddings = mapEmbeddings(index, expected.tree);
  const norms = mapNorms(index, expected.tree);
  const found = new Set([
    ...linears.mapped.flatMap(({ modules }) => modules.map(({ path }) => path)),
    ...embeddings.map(({ module }) => module.path),
    ...norms.map(({ key }) => key),
  ]);
  const missing = expected.tree.modules
    .filter((module) => !isFound(module, found))
    .map(({ path, kind }) => ({ path, reason: linears.reasons.get(path) ?? absent[kind] }));
  return { linears: linears.mapped, embeddings, norms, missing };
}

const absent: Record<ModuleInfo["kind"], string> = {
  linear: t("no product with a constant matrix has its name or place"),
  embedding: t("no look-up in a constant table has its name"),
  norm: t("no constant vector of its own has its name"),
};

function isFound(module: ModuleInfo, found: ReadonlySet<string>): boolean {
  const isWhole = module.kind !== "norm" || module.hasBias !== true;
  return found.has(module.path) && (isWhole || found.has(`${module.path}.bias`));
}

/** The names that a product may have, the surest first. */
function* namesOf({ node, cluster, weight, bias }: LinearSite): Generator<[Rule, string]> {
  for (const each of [node, ...cluster]) {
    const scope = scopeOf(each);
    if (scope !== null) yield ["scopes", scope];
  }
  for (const name of [node.name, node.outputs[0] ?? ""]) yield ["node name", modulePath(name)];
  yield ["weight name", modulePath(weight.tensor.name)];
  if (bias) yield ["weight name", modulePath(bias.name)];
}

class LinearMapping {
  readonly mapped: MappedLinear[] = [];
  readonly reasons = new Map<string, string>();
  private readonly wanted: readonly LinearModule[];
  private readonly claimed = new Map<string, MappedLinear>();

  constructor(private readonly expected: ExpectedModules) {
    this.wanted = expected.tree.modules.flatMap((each) => (each.kind === "linear" ? [each] : []));
  }

  take(site: LinearSite): void {
    for (const [rule, name] of namesOf(site)) {
      for (const path of spelled(name)) {
        const modules = this.modulesOf(path, rule);
        if (modules && this.claim(site, modules, rule)) return;
      }
    }
  }

  /** The modules that a path stands for; null for none. */
  private modulesOf(path: string, rule: Rule): LinearModule[] | null {
    const own = longest(this.wanted.filter((module) => means(path, module.path)));
    if (own) return [own];
    const dot = path.lastIndexOf(".") + 1;
    const parts = packings[path.slice(dot)]?.map((name) => path.slice(0, dot) + name);
    if (parts) {
      const modules = parts.flatMap(
        (part) => longest(this.wanted.filter((module) => means(part, module.path))) ?? [],
      );
      return modules.length === parts.length ? modules : null;
    }
    if (rule !== "weight name") return null;
    const tied = this.wanted.find(
      (module) => isTied(module) && means(path, weightName(module).replace(/\.weight$/, "")),
    );
    return tied ? [tied] : null;
  }

  private claim(site: LinearSite, modules: readonly LinearModule[], rule: Rule): boolean {
    const misfit = misfitOf(site, modules);
    if (misfit !== null) {
      for (const { path } of modules) {
        if (!this.claimed.has(path)) this.reasons.set(path, misfit);
      }
      return false;
    }
    const twin = modules.map(({ path }) => this.claimed.get(path)).find((each) => each);
    if (twin) {
      // An update in one of two places would be silently half of it.
      this.drop(twin, t('"{0}" and "{1}" both compute it', twin.site.node.name, site.node.name));
      return true;
    }
    const isBiased = modules.some(({ hasBias }) => hasBias);
    const fitting = !isBiased && site.bare ? site.bare : site;
    const mapped = { site: fitting, modules, rule };
    this.mapped.push(mapped);
    for (const { path } of modules) {
      this.claimed.set(path, mapped);
      this.reasons.delete(path);
    }
    return true;
  }

  private drop(mapped: MappedLinear, reason: string): void {
    const place = this.mapped.indexOf(mapped);
    if (place !== -1) this.mapped.splice(place, 1);
    for (const { path } of mapped.modules) this.reasons.set(path, reason);
  }

  /**
   * Takes the products in the order of computation, where nothing else tells them: as many as the
   * model has, each of the shape of the layer in its place, and all that have a name agreeing.
   */
  byOrder(sites: readonly LinearSite[]): void {
    const inOrder = this.expected.groups.flatMap(({ modules }) => modules);
    if (this.mapped.length === sites.length || sites.length !== inOrder.length) return;
    const known = new Map(this.mapped.map((each) => [each.site.node, each.modules]));
    const agrees = sites.every((site, i) => {
      const module = inOrder[i] as LinearModule;
      const own = known.get(site.node);
      if (own) return own.length === 1 && own[0]?.path === module.path;
      return misfitOf(site, [module]) === null && !this.claimed.has(module.path);
    });
    if (!agrees) return;
    sites.forEach((site, i) => {
      if (!known.has(site.node)) this.claim(site, [inOrder[i] as LinearModule], "order");
    });
  }
}

function longest(modules: readonly LinearModule[]): LinearModule | null {
  return modules.reduce<LinearModule | null>(
    (best, each) => (best && best.path.length >= each.path.length ? best : each),
    null,
  );
}

/** Why a product cannot be these modules; null when it can. */
function misfitOf(site: LinearSite, modules: readonly LinearModule[]): string | null {
  const out = modules.reduce((sum, module) => sum + module.out, 0);
  const inputs = (modules[0] as LinearModule).in;
  if (site.in !== inputs || site.out !== out) {
    const own = `[${site.in}, ${site.out}]`;
    return t(
      'its product "{0}" is {1}, config.json asks for [{2}, {3}]',
      site.node.name,
      own,
      inputs,
      out,
    );
  }
  if (modules.some(({ hasBias }) => hasBias) && !site.bias) {
    return t('the bias behind its product "{0}" is part of another operator', site.node.name);
  }
  return null;
}

/** The groups that adapters see: each product is one. */
export function groupsOf(map: ExportMap): LinearGroup[] {
  return map.linears.map(({ modules }) => linearGroup(modules));
}
