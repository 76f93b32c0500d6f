import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import type { GraphIndex } from "./graphIndex.ts";
import { type LinearSite, linearSites } from "./linearSites.ts";
import type { ExpectedModules } from "./mapModules.ts";
import { modulePath, scopeOf } from "./names.ts";
import { seenShape, weightSource } from "./weightSource.ts";

/**
 * The modules of a model whose family Graft does not know, by what the export calls them. Layers that
 * an exporter packed stay one module of the packed name.
 */
export function guessModules(index: GraphIndex): ExpectedModules {
  const linears = linearSites(index).flatMap((site) => guessLinear(site, index) ?? []);
  const tables = index.graph.nodes.flatMap((node): ModuleInfo[] => {
    const weight = node.op === "Gather" ? weightSource(index, node.inputs[0]) : null;
    const path = scopeOf(node) ?? modulePath(node.name);
    if (!weight || !isPath(path)) return [];
    const [rows, dim] = seenShape(weight);
    return [{ kind: "embedding", path, in: rows, out: dim }];
  });
  const unique = new Map<string, ModuleInfo>();
  for (const module of [...tables, ...linears]) unique.set(module.path, module);
  const modules = [...unique.values()];
  const outputEmbedding = modules.some(({ path }) => path === "lm_head") ? "lm_head" : null;
  const groups = modules.flatMap((each) =>
    each.kind === "linear" ? [{ name: each.path, modules: [each] }] : [],
  );
  return { tree: { modules, outputEmbedding }, groups };
}

function isPath(name: string): boolean {
  return name === "lm_head" || /^[A-Za-z_]\w*(\.\w+)+$/.test(name);
}

function guessLinear(site: LinearSite, { graph }: GraphIndex): LinearModule | null {
  const names = [
    scopeOf(site.node),
    modulePath(site.node.name),
    modulePath(site.weight.tensor.name),
  ];
  const found = names.find((name) => name !== null && isPath(name));
  if (!found) return null;
  const isGenai = graph.format?.producer === "onnxruntime-genai";
  const path = isGenai ? found.replace(".attn.", ".self_attn.") : found;
  return { kind: "linear", path, in: site.in, out: site.out, hasBias: site.bias !== null };
}
