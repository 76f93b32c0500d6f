import type { Shape } from "../base/shape.ts";
import type { BaseCheckpoint } from "../checkpoint/baseCheckpoint.ts";
import {
  type ExpertParameter,
  type ExpertStack,
  type ModuleInfo,
  normTensor,
} from "../checkpoint/modules.ts";
import { GraphBuilder } from "../onnx/builder.ts";
import { onnxTypes, type Value } from "../onnx/graph.ts";
import {
  type AttentionValues,
  type BaseLayers,
  type BlockHook,
  type ExpertMatrix,
  type KeysAndValues,
  type LayerHook,
  type LayerParts,
  type LinearGroup,
  linearGroup,
  type LinearModule,
  oneByOne,
  type Outputs,
  sideBySide,
} from "../onnx/layerHook.ts";
import { CheckpointWeights } from "./checkpointWeights.ts";
import { type DropoutRate, probabilityOf } from "./dropout.ts";
import { LinearLayers } from "./linearLayers.ts";
import type { Head, Task } from "./model.ts";

/** What the stack of a class is called: "model" in its family, "" where the class is the stack. */
export interface Backbone {
  readonly family: string;
  readonly own: string;
}

/** The family's own head, none (the hook is shown the stream behind the last norm), or a task's. */
export type Ending =
  | { readonly kind: "own" }
  | { readonly kind: "none" }
  /** `path`: of the head's linear layer, where it is not the task's usual one. */
  | { readonly kind: "task"; readonly task: Task; readonly path?: string | undefined };

export interface BuilderOptions {
  readonly ending?: Ending;
  readonly backbone?: Backbone | null;
}

/**
 * What a family file builds with: operators from `g`, weights by their Hugging Face names, layers
 * that pass through the hook, and a record of every module that an adapter can target.
 */
export class ModelBuilder {
  readonly g = new GraphBuilder();
  readonly modules: ModuleInfo[] = [];
  readonly groups: LinearGroup[] = [];
  readonly experts: ExpertStack[] = [];

  /** What the model ends with. */
  readonly ending: Ending;
  /** The task's head, once it was built; null for a language model. */
  head: Head | null = null;
  private readonly backbone: Backbone | null;
  private readonly weights: CheckpointWeights;
  private readonly linearLayers: LinearLayers;

  constructor(
    readonly checkpoint: BaseCheckpoint,
    private readonly hook: LayerHook,
    /** The checkpoint's layer for each of the model's, where layers are repeated; else null. */
    readonly layers: readonly number[] | null = null,
    { ending = { kind: "own" }, backbone = null }: BuilderOptions = {},
  ) {
    this.ending = ending;
    this.backbone = backbone;
    this.weights = new CheckpointWeights(this.g, checkpoint, layers);
    this.linearLayers = new LinearLayers(this.weights);
  }

  /** Builds another graph of the same model; its modules and groups are recorded with this one's. */
  beside(): ModelBuilder {
    const { checkpoint, hook, layers, ending, backbone } = this;
    const other = new ModelBuilder(checkpoint, hook, layers, { ending, backbone });
    return Object.assign(other, { modules: this.modules, groups: this.groups });
  }

  /** A path or a name as this model's class has it: its stack may have another name. */
  named(path: string): string {
    const { backbone } = this;
    if (backbone === null || !path.startsWith(`${backbone.family}.`)) return path;
    const rest = path.slice(backbone.family.length + 1);
    return backbone.own === "" ? rest : `${backbone.own}.${rest}`;
  }

  /** A weight as fp32 whatever it is stored in. */
  weight(name: string, shape: Shape): Value {
    return this.weights.read(this.named(name), shape);
  }

  hasWeight(name: string): boolean {
    return this.weights.has(this.named(name));
  }

  /** Rows of an embedding table [rows, dim] for ids [batch, seq] of a graph input, as fp32. */
  embedding(path: string, ids: Value, size: readonly [number, number]): Value {
    return this.scaledEmbedding(path, ids, { size });
  }

  /**
   * The same, multiplied by a factor that is part of the module: adapters change what is scaled.
   * @param table.firstRow the row that id 0 picks
   */
  scaledEmbedding(
    asked: string,
    asIs: Value,
    table: {
      size: readonly [number, number];
      scale?: number;
      firstRow?: number;
      /** Tokens of an answer, behind an encoder. */
      isAnswer?: boolean;
    },
  ): Value {
    const path = this.named(asked);
    const { size, scale = 1, firstRow = 0, isAnswer = false } = table;
    const [rows, dim] = size;
    this.modules.push({
      ...({ kind: "embedding", path, in: rows, out: dim, ids: asIs } as const),
      ...(scale !== 1 && { scale }),
      ...(firstRow !== 0 && { firstRow }),
    });
    const ids = firstRow === 0 ? asIs : this.g.add(asIs, this.g.int64s([firstRow]));
    return this.g.scope(path, () => {
      // Picking rows before the cast keeps one fp32 copy of the table out of memory.
      const name = `${path}.weight`;
      const { stored, type, ref } = this.weights.stored(name, [rows, dim]);
      const source = { ids, table: () => this.weight(name, [rows, dim]) };
      if (ref.scale || type.startsWith("float8")) {
        const own = this.g.gather(source.table(), ids);
        return this.hook.embedding(this.g, path, { rows: own, source, isAnswer });
      }
      const picked = this.g.gather(stored, ids);
      const rows32 = type === "float32" ? picked : this.g.cast(picked, onnxTypes.float32);
      const changed = this.hook.embedding(this.g, path, { rows: rows32, source, isAnswer });
      return this.g.scale(changed, scale);
    });
  }

  /** Linear layers on one input; their outputs side by side. One layer is a group of one. */
  linears(x: Value, asked: readonly LinearModule[]): Value {
    const { outputs } = this.hookedLinears(x, asked, false);
    return sideBySide(this.g, outputs);
  }

  /** Linear layers on one input whose outputs are read one by one. */
  linearsApart(x: Value, asked: readonly LinearModule[]): readonly Value[] {
    const { group, outputs } = this.hookedLinears(x, asked, true);
    return this.g.scope(group.name, () => oneByOne(this.g, group, outputs));
  }

  private hookedLinears(
    x: Value,
    asked: readonly LinearModule[],
    isApart: boolean,
  ): { group: LinearGroup; outputs: Outputs } {
    const modules = asked.map((module) => this.namedModule(module));
    this.modules.push(...modules);
    const group = linearGroup(modules, isApart);
    const base: BaseLayers = (input) => {
      const shared = typeof input === "string" ? this.linearLayers.together(input, group) : null;
      if (shared !== null) return shared;
      const inputOf = (i: number): Value =>
        typeof input === "string" ? input : (input[i] as Value);
      return modules.map((module, i) =>
        this.g.scope(module.path, () => this.linearLayers.apply(inputOf(i), module)),
      );
    };
    const parts: LayerParts = {
      layer: (i, input) => this.product(input, modules[i] as LinearModule),
      product: (i, input) =>
        this.product(input, { ...(modules[i] as LinearModule), hasBias: false }),
      weight: (i) => this.linearLayers.matrix(modules[i] as LinearModule),
      bias: (i) => this.linearLayers.bias(modules[i] as LinearModule),
    };
    this.groups.push(group);
    const layers = { x, base, parts };
    const outputs = this.g.scope(group.name, () => this.hook.linears(this.g, group, layers));
    return { group, outputs };
  }

  /** The sequence's keys and values; adapters may put others in their place. */
  memory(layer: number, own: KeysAndValues): KeysAndValues {
    return this.hook.memory?.(this.g, layer, own) ?? own;
  }

  /** Keys and values that an adapter puts before an encoder's sequence; null for those of a session. */
  prefix(layer: number, like: Value): KeysAndValues | null {
    return this.hook.prefix?.(this.g, layer, like) ?? null;
  }

  /** What attention goes on with; adapters may add to it. */
  attention(asked: string, values: AttentionValues): Value {
    const path = this.named(asked);
    return this.g.scope(path, () => this.hook.attention(this.g, path, values));
  }

  norm(asked: string, size: number): Value {
    const path = this.named(asked);
    this.modules.push({ kind: "norm", path, out: size });
    const value = this.weight(`${path}.weight`, [size]);
    return this.hook.norm(this.g, path, { value, size });
  }

  /** Weight and bias [size] of a LayerNorm. */
  biasedNorm(asked: string, size: number): { weight: Value; bias: Value } {
    const path = this.named(asked);
    this.modules.push({ kind: "norm", path, out: size, hasBias: true });
    const own = (key: string): Value =>
      this.hook.norm(this.g, key, { value: this.weight(normTensor(key), [size]), size });
    return { weight: own(path), bias: own(`${path}.bias`) };
  }

  /** x [..., size] as the base's own dropout leaves it in training; x itself wherever it is not trained. */
  dropout(
    x: Value,
    at: {
      path: string;
      rate: DropoutRate;
      /** null for keys, of which each run has another number. */
      size: number | null;
      /** True where rows are not those of the stack's tokens. */
      isApart?: boolean;
    },
  ): Value {
    const { path, rate, size, isApart = false } = at;
    const known = probabilityOf(this.checkpoint.config, rate);
    if (!this.hook.dropout || known.probability === 0) return x;
    const rows = isApart ? "own" : size === null ? "attention" : "tokens";
    const place = { x, path, size, rows, ...known } as const;
    return this.g.scope(path, () => this.hook.dropout?.(this.g, place) ?? x);
  }

  /** What is put around a block; null for nothing. */
  block(path: string, size: number): BlockHook | null {
    return this.hook.block(this.g, this.named(path), size);
  }

  /** Shows what the head reads, the stream behind the last norm, to whoever asks for it. */
  hidden(stream: Value, size: number): void {
    this.hook.hidden(this.g, stream, size);
  }

  /** What is added to the rows that experts make with one of their matrices; null for nothing. */
  expertUpdate(
    stack: ExpertStack,
    { name, in: inputs, out }: ExpertParameter,
    at: Pick<ExpertMatrix, "x" | "of" | "choice">,
  ): Value | null {
    const { path, count } = stack;
    const own = { name: `${path}.${name}`, count, in: inputs, out };
    return this.hook.experts(this.g, { ...own, ...at });
  }

  /** A layer that no adapter has a place around: one expert's. */
  product(x: Value, asked: LinearModule): Value {
    const module = this.namedModule(asked);
    return this.g.scope(module.path, () => this.linearLayers.apply(x, module));
  }

  private namedModule(module: LinearModule): LinearModule {
    return {
      ...module,
      path: this.named(module.path),
      ...(module.weight !== undefined && { weight: this.named(module.weight) }),
    };
  }
}
