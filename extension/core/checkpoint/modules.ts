/** A module of a base model that an adapter can target, by its Hugging Face path. */
export type ModuleInfo =
  | {
      readonly kind: "linear";
      readonly path: string;
      readonly in: number;
      readonly out: number;
      readonly hasBias: boolean;
      /** Name of its weight tensor where it is not `<path>.weight` (a head tied to the embeddings). */
      readonly weight?: string;
      /** True where the weight is stored [in, out] (transformers' Conv1D). */
      readonly isTransposed?: boolean;
      /**
       * [channels, height, width] of a Conv2d whose stride is its kernel: it is a linear layer on
       * patches, its weight stored [out, channels, height, width] and `in` their product.
       */
      readonly kernel?: readonly [number, number, number];
      /** True where PyTorch has no Linear but a parameter (a router): its weight is a target, the module is not. */
      readonly isParameter?: boolean;
    }
  | {
      readonly kind: "embedding";
      readonly path: string;
      readonly in: number;
      readonly out: number;
      /** Factor on its rows, which the module applies (Gemma's √hidden). */
      readonly scale?: number;
      /** The graph input whose ids pick its rows; `input_ids` when absent. */
      readonly ids?: string;
      /** The row that id 0 picks (OPT's positions). */
      readonly firstRow?: number;
    }
  | {
      readonly kind: "norm";
      readonly path: string;
      readonly out: number;
      readonly hasBias?: boolean;
    };

/** All modules of a model in the order of PyTorch's `named_modules`, and which one makes the logits. */
export interface ModuleTree {
  readonly modules: readonly ModuleInfo[];
  /** Path of the output embedding (`lm_head`), which "all-linear" leaves out; null without one. */
  readonly outputEmbedding: string | null;
  /** Experts, which PyTorch holds as parameters of one module a layer; none in most models. */
  readonly experts?: readonly ExpertStack[];
}

/** The experts of one layer: each of their matrices is one parameter [count, out, in]. */
export interface ExpertStack {
  /** "model.layers.0.mlp.experts" */
  readonly path: string;
  readonly count: number;
  /** In PyTorch's order. */
  readonly parameters: readonly ExpertParameter[];
  /** How many of the tree's modules stand before it in PyTorch's order. */
  readonly place: number;
}

export interface ExpertParameter {
  /** "gate_up_proj" */
  readonly name: string;
  readonly in: number;
  readonly out: number;
  /** Whose rows an expert's matrix has below one another, of equal size: gate_proj and up_proj. */
  readonly parts: readonly string[];
}

/** Name of the tensor of one part of one expert. */
export function expertTensor({ path }: ExpertStack, expert: number, part: string): string {
  return `${path}.${expert}.${part}.weight`;
}

/** Name of the tensor that holds a module's weight: a tied head's is the embedding's. */
export function weightName(module: ModuleInfo): string {
  return (module.kind === "linear" ? module.weight : undefined) ?? `${module.path}.weight`;
}

/** Shape in which a linear layer's weight is stored. */
export function storedShape(module: Extract<ModuleInfo, { kind: "linear" }>): readonly number[] {
  if (module.kernel) return [module.out, ...module.kernel];
  return module.isTransposed ? [module.in, module.out] : [module.out, module.in];
}

/** Name of a norm's tensor by its key among a plan's or adapter's norms: a path, or a bias's name. */
export function normTensor(key: string): string {
  return key.endsWith(".bias") ? key : `${key}.weight`;
}

/** True for what has a row a token: a table of tokens (not of places or types), or the head. */
export function isVocabulary(module: ModuleInfo, { outputEmbedding }: ModuleTree): boolean {
  if (module.kind !== "embedding") return module.path === outputEmbedding;
  return (module.ids ?? "input_ids") === "input_ids";
}

/** True for a head that reads the embedding's table. */
export function isTied(module: ModuleInfo): boolean {
  return weightName(module) !== `${module.path}.weight`;
}

/** "model.layers.3.mlp.up_proj" → 3: the number behind the first `.<word>.` that has one, as PEFT reads it. */
export function layerIndex(path: string, patterns: readonly string[] = []): number | null {
  if (patterns.length === 0) {
    const match = /.*?\.[^.]*\.(\d+)\./.exec(path);
    return match ? Number(match[1]) : null;
  }
  for (const pattern of patterns) {
    const match = new RegExp(`^(?:|.*?\\.)(?:${pattern})\\.(?<index>\\d+)\\.`).exec(path);
    if (match) return Number(match.groups?.["index"]);
  }
  return null;
}

/**
 * The name that a tensor of a model with repeated layers has in the checkpoint: layer i of the model
 * is layer `layers[i]` of the checkpoint.
 */
export function sourceName(name: string, layers: readonly number[] | null): string {
  if (layers === null) return name;
  return name.replace(/(?<=\.)\d+(?=\.)/, (index) => String(layers[Number(index)] ?? index));
}

/** Paths of modules that only contain others ("model.layers.0.mlp"). */
export function containerPaths(tree: ModuleTree): Set<string> {
  const leaves = new Set(tree.modules.map((module) => module.path));
  const containers = new Set<string>();
  for (const leaf of leaves) {
    for (let dot = leaf.indexOf("."); dot !== -1; dot = leaf.indexOf(".", dot + 1)) {
      const prefix = leaf.slice(0, dot);
      if (!leaves.has(prefix)) containers.add(prefix);
    }
  }
  return containers;
}
