/** An adapter whose base is not at hand: its own tensors say which modules there are, weights there are none. */
import type { AdapterCheckpoint } from "../checkpoint/adapterCheckpoint.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { Method, MethodBase } from "../peft/method.ts";

/** A base without weights that has just the modules whose sizes follow from the file. */
export function baseOfTensors(adapter: AdapterCheckpoint, method: Method): MethodBase {
  const sizes = method.sizes?.(adapter) ?? [];
  const modules = sizes.map(({ kind, path, in: inputs, out }): ModuleInfo =>
    kind === "linear"
      ? { kind, path, in: inputs, out, hasBias: false }
      : { kind, path, in: inputs, out },
  );
  const base: MethodBase = {
    modelType: "",
    config: { file: adapter.config.file, modelType: "", architecture: "", raw: {} },
    tree: { modules, outputEmbedding: null },
    groups: modules.flatMap((module) =>
      module.kind === "linear" ? [{ name: module.path, modules: [module] }] : [],
    ),
    attention: { layers: 0, heads: 0, keyValueHeads: 0, headDim: 0 },
    readTensor: () => Promise.resolve(null),
    withLayers: () => base,
  };
  return base;
}

/** The adapter as one that targets just these modules: what else its config says is about a base. */
export function targetingOnly(adapter: AdapterCheckpoint, { tree }: MethodBase): AdapterCheckpoint {
  const raw = {
    ...adapter.config.raw,
    target_modules: tree.modules.map(({ path }) => path),
    exclude_modules: null,
    layers_to_transform: null,
    layers_pattern: null,
    layer_replication: null,
    target_parameters: null,
    trainable_token_indices: null,
    modules_to_save: null,
    ensure_weight_tying: false,
    bias: "none",
  };
  return { ...adapter, config: { ...adapter.config, raw } };
}
