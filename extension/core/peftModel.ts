import { realpath } from "node:fs/promises";
import * as path from "node:path";
import { badRequest, GraftError, misfit, throwIfAborted } from "./base/errors.ts";
import { type BaseModel, type OnProgress, requireTokenizer } from "./baseModel.ts";
import { type AdapterCheckpoint, openAdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import { mergeModel, type MergeOptions, type MergeReport } from "./mergeModel.ts";
import type { ActiveEffects } from "./peft/slots.ts";
import { arrowEffects, type ArrowOptions } from "./peft/arrow.ts";
import { combineAdapters } from "./peft/combine.ts";
import type { CombineOptions } from "./peft/combine/options.ts";
import { methodOf } from "./peft/index.ts";
import { activeAt } from "./peft/rowSlots.ts";
import { type BindReport, commonFields, type LoadedWeights, type Method } from "./peft/method.ts";
import type { BaseInputs } from "./baseSession.ts";
import { saveAdapters, saveCombined, type SaveOptions } from "./savePretrained.ts";
import {
  countModel,
  layerStatus,
  type LayerStatus,
  type ModelState,
  modelStatus,
  type ModelStatus,
} from "./status.ts";
import { renderChat, type Message } from "./tokens/chatTemplate.ts";
import { type Generated, generate } from "./tokens/generate.ts";
import { greedy, type Sampling } from "./tokens/sampler.ts";
import { TextStream } from "./tokens/textStream.ts";

export interface LoadAdapterOptions {
  /** Name under which the adapter is known; PEFT's default is "default". */
  readonly adapterName?: string;
  /** Folder below the adapter's folder that holds it (PEFT saves adapters not named "default" so). */
  readonly subfolder?: string;
  /** Load although some modules or tensors find no place; without it such a load throws partial-bind. */
  readonly allowPartial?: boolean;
  /** Load to train on: its parameters count as trainable. False, as in PEFT, is for answers alone. */
  readonly isTrainable?: boolean;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/** An adapter in memory. */
export interface LoadedAdapter {
  readonly name: string;
  readonly checkpoint: AdapterCheckpoint;
  readonly weights: LoadedWeights;
  readonly report: BindReport;
  readonly attachSeconds: number;
  readonly warnings: readonly string[];
}

export interface ActiveAdapter {
  readonly name: string;
  /** Factor on the adapter's update; 1 is as trained. */
  readonly weight: number;
  /** Task of an adapter for several: one, or one a row of the batch; the first when absent. */
  readonly task?: number | readonly number[] | undefined;
}

export type Prompt =
  | { readonly kind: "chat"; readonly messages: readonly Message[] }
  | { readonly kind: "text"; readonly text: string };

export interface AnswerOptions {
  readonly sampling?: Sampling;
  readonly maxNewTokens?: number;
  /** Adapters for this answer alone; the active ones when absent. */
  readonly adapters?: readonly ActiveAdapter[];
  /** The whole text so far, with each token. */
  readonly onText?: (text: string, tokens: number) => void;
  readonly signal?: AbortSignal;
}

export interface Answer extends Generated {
  readonly text: string;
  readonly promptTokens: number;
  readonly adapters: readonly ActiveAdapter[];
}

/**
 * A base model with adapters, after PEFT's PeftModel: load several, make one or more active, switch
 * by choosing other tensors. The session is built once and never again.
 */
export class PeftModel {
  private readonly loaded = new Map<string, LoadedAdapter>();
  private active: readonly ActiveAdapter[] = [];
  private trainable: ReadonlySet<string> = new Set();
  private readonly closing = new AbortController();
  private activeInputs: BaseInputs;

  constructor(readonly base: BaseModel) {
    this.activeInputs = this.inputsOf([]);
  }

  /** Loads an adapter onto a base and makes it active. */
  static async fromPretrained(
    base: BaseModel,
    modelId: string,
    options: LoadAdapterOptions = {},
  ): Promise<PeftModel> {
    const model = new PeftModel(base);
    const { name } = await model.loadAdapter(modelId, options);
    model.setAdapter(name, { inferenceMode: options.isTrainable !== true });
    return model;
  }

  get adapters(): readonly LoadedAdapter[] {
    return [...this.loaded.values()];
  }

  get activeAdapters(): readonly ActiveAdapter[] {
    return this.active;
  }

  /**
   * Reads an adapter and binds it to the base; it takes part once `setAdapter` names it.
   * @throws misfit when no module is bound or shapes disagree; partial-bind when only some are
   */
  async loadAdapter(folder: string, options: LoadAdapterOptions = {}): Promise<LoadedAdapter> {
    const { adapterName: name = "default", onProgress, signal } = options;
    const started = performance.now();
    if (this.loaded.has(name)) throw badRequest(`An adapter named "${name}" is already loaded.`);
    onProgress?.({ step: "Reading the adapter" });
    const dir = options.subfolder ? path.join(folder, options.subfolder) : folder;
    const checkpoint = await openAdapterCheckpoint(dir, signal);
    const method = methodOf(checkpoint.config);
    const report = method.bind(checkpoint, this.base.adaptable);
    checkReport(checkpoint, report, { allowPartial: options.allowPartial ?? false });
    const weights = await method.load(checkpoint, this.base.adaptable, signal);
    throwIfAborted(signal);
    if (await this.base.session.prepare(weights.effects)) {
      this.activeInputs = this.inputsOf(this.active);
    }
    // Somebody else may have taken the name while the file was read.
    if (this.loaded.has(name)) throw badRequest(`An adapter named "${name}" is already loaded.`);
    const adapter: LoadedAdapter = {
      name,
      checkpoint,
      weights,
      report,
      attachSeconds: (performance.now() - started) / 1000,
      warnings: [
        ...fieldWarnings(checkpoint, method),
        ...bindWarnings(report),
        ...weights.warnings,
      ],
    };
    this.loaded.set(name, adapter);
    if (options.isTrainable) this.trainable = new Set([...this.trainable, name]);
    return adapter;
  }

  /**
   * Makes one or several adapters active, in this order; their updates add up. As in PEFT these are
   * then the trainable ones, or with `inferenceMode` none is; it only matters for status and counts.
   */
  setAdapter(
    adapters: string | readonly (string | ActiveAdapter)[],
    { inferenceMode = false }: { inferenceMode?: boolean } = {},
  ): void {
    this.activate(adapters);
    const names = inferenceMode ? [] : this.active.map(({ name }) => name);
    this.trainable = new Set(names);
  }

  private activate(adapters: string | readonly (string | ActiveAdapter)[]): void {
    const list = typeof adapters === "string" ? [adapters] : adapters;
    const active = list.map((each) =>
      typeof each === "string" ? { name: each, weight: 1 } : each,
    );
    this.activeInputs = this.inputsOf(active);
    this.active = active;
  }

  /** Answers come from the bare base from now on; adapters stay loaded. */
  disableAdapter(): void {
    this.setAdapter([]);
  }

  /** Forgets an adapter; when it was active the others stay active. */
  deleteAdapter(name: string): void {
    this.require(name);
    this.activate(this.active.filter((each) => each.name !== name));
    this.loaded.delete(name);
    // In PEFT a new active set is the trainable one.
    const hasChanged = before.length > this.active.length;
    const rest = hasChanged ? this.active.map((each) => each.name) : [...this.loaded.keys()];
    this.trainable = new Set(rest.filter((each) => this.trainable.has(each)));
  }

  /** Gives an adapter another name; its weights, its place and whether it is active stay. */
  renameAdapter(name: string, newName: string): void {
    this.require(name);
    if (newName === name) return;
    // It names the folder that savePretrained writes.
    if (newName.trim() === "" || /[\\/]|^\.{1,2}$/.test(newName)) {
      throw badRequest(`"${newName}" cannot be the name of an adapter. Use a name for a folder.`);
    }
    if (this.loaded.has(newName)) {
      throw badRequest(`An adapter named "${newName}" is already loaded.`);
    }
    const renamed = this.adapters.map((each) =>
      each.name === name ? { ...each, name: newName } : each,
    );
    this.loaded.clear();
    for (const adapter of renamed) this.loaded.set(adapter.name, adapter);
    this.trainable = new Set([...this.trainable].map((each) => (each === name ? newName : each)));
    this.active = this.active.map((each) =>
      each.name === name ? { ...each, name: newName } : each,
    );
  }

  /** Trainable and all parameters, equal to PEFT's `get_nb_trainable_parameters`. */
  getNbTrainableParameters(): { trainable: number; total: number } {
    return countModel(this.state());
  }

  /** PEFT's `get_layer_status`: every layer that an adapter has put into the model. */
  getLayerStatus(): LayerStatus[] {
    return layerStatus(this.state());
  }

  /** PEFT's `get_model_status`, "irregular" where layers disagree. */
  getModelStatus(): ModelStatus {
    return modelStatus(this.state());
  }

  private state(): ModelState {
    const { base, adapters, trainable } = this;
    const active = this.active.map(({ name }) => name);
    return { base, adapters, active, merged: [], trainable };
  }

  /** Inputs of the session for a set of adapters, e.g. for `session.start`. */
  inputsOf(adapters: readonly ActiveAdapter[]): BaseInputs {
    return this.base.session.inputs(this.partsOf(adapters));
  }

  /**
   * Inputs that route every token among loaded LoRA adapters (PEFT's create_arrow_model).
   * @throws bad-request unless all are plain LoRA of one rank on the same modules
   */
  async arrowInputs(names: readonly string[], options: ArrowOptions = {}): Promise<BaseInputs> {
    const experts = names.map((name) => this.require(name).weights.effects);
    const effects = arrowEffects(experts, options);
    if (await this.base.session.prepare(effects)) this.activeInputs = this.inputsOf(this.active);
    return this.base.session.inputs([{ effects, weight: 1 }]);
  }

  /**
   * Makes a new adapter of loaded ones (PEFT's add_weighted_adapter), writes it into a folder of its
   * own and loads it from there; it takes part once `setAdapter` names it.
   * @param options `folder`: where the new adapter is kept; an adapter that is there already stays,
   *   by an error, unless `overwrite` is true
   */
  async addWeightedAdapter(
    adapters: readonly string[],
    weights: readonly number[],
    adapterName: string,
    {
      folder,
      overwrite = false,
      ...options
    }: CombineOptions & { folder: string; overwrite?: boolean },
  ): Promise<LoadedAdapter> {
    const { signal } = options;
    const target = await realpath(folder).catch(() => path.resolve(folder));
    const own = this.adapters.find(({ checkpoint }) => checkpoint.dir === target);
    if (own) throw badRequest(`"${own.name}" is loaded from ${target}. Choose another folder.`);
    if (this.loaded.has(adapterName)) {
      throw badRequest(`An adapter named "${adapterName}" is already loaded.`);
    }
    if (adapters.length !== weights.length) {
      throw badRequest(`${adapters.length} adapters are named with ${weights.length} weights.`);
    }
    const sources = adapters.map((name, i) => {
      const { checkpoint } = this.require(name);
      return { name, weight: weights[i] as number, checkpoint };
    });
    const combined = await combineAdapters(sources, options, this.base.adaptable);
    const { checkpoint: first } = sources[0] as (typeof sources)[0];
    await saveCombined(combined, folder, { first, overwrite, ...(signal && { signal }) });
    // It is written: a wish to stop comes too late, and what its parts leave out was agreed to.
    const adapter = await this.loadAdapter(folder, { adapterName, allowPartial: true });
    const told = { ...adapter, warnings: [...combined.warnings, ...adapter.warnings] };
    this.loaded.set(adapterName, told);
    return told;
  }

  private partsOf(adapters: readonly ActiveAdapter[]): ActiveEffects[] {
    const seen = new Set<string>();
    return adapters.map(({ name, weight, task }) => {
      if (seen.has(name)) throw badRequest(`Adapter "${name}" is named twice.`);
      if (!Number.isFinite(weight)) throw badRequest(`The weight of "${name}" is ${weight}.`);
      seen.add(name);
      return { effects: this.require(name).weights.effects, weight, task };
    });
  }

  /**
   * Writes adapters as PEFT does: "default" into the folder itself, others into a subfolder of their
   * name, one model card for all.
   * @returns the paths of all files written; none unless this is the main process
   */
  async savePretrained(
    folder: string,
    { selectedAdapters, ...options }: SaveOptions & { selectedAdapters?: readonly string[] } = {},
  ): Promise<string[]> {
    const names = [...new Set(selectedAdapters ?? this.loaded.keys())];
    return this.save(
      names.map((name) => ({ name, own: this.require(name) })),
      folder,
      options,
    );
  }

  /**
   * Writes one adapter into a folder of its own, whatever its name.
   * @returns the paths of all files written
   */
  async saveAdapter(name: string, folder: string, options: SaveOptions = {}): Promise<string[]> {
    return this.save([{ name: "default", own: this.require(name) }], folder, options);
  }

  private async save(
    adapters: readonly { name: string; own: LoadedAdapter }[],
    folder: string,
    options: SaveOptions,
  ): Promise<string[]> {
    const replaced: LoadedAdapter[] = [];
    for (const { name, own } of adapters) {
      const target = path.join(folder, name === "default" ? "" : name);
      const dir = await realpath(target).catch(() => path.resolve(target));
      const there = this.adapters.filter(({ checkpoint }) => checkpoint.dir === dir);
      const other = there.find((each) => each.checkpoint !== own.checkpoint);
      if (other) throw badRequest(`"${other.name}" is loaded from ${dir}. Choose another folder.`);
      replaced.push(...there);
    }
    const { checkpoint, adaptable } = this.base;
    const parts = adapters.map(({ name, own }) => ({ name, checkpoint: own.checkpoint }));
    const at = { ...options, checkpoint, tree: adaptable.tree };
    const files = await saveAdapters(parts, folder, at);
    // An adapter that is saved over its own folder is read from other files from now on.
    for (const { name, checkpoint: old } of files.length > 0 ? replaced : []) {
      const adapter = this.loaded.get(name);
      const reopened = await openAdapterCheckpoint(old.dir);
      if (adapter?.checkpoint === old) this.loaded.set(name, { ...adapter, checkpoint: reopened });
    }
    return files;
  }

  /**
   * Writes the base with the active adapters, or with those named, merged in; base and adapters
   * stay as they are.
   * @throws unsupported when an adapter cannot be merged, saying why
   */
  async mergeAndUnload({
    adapters = this.active,
    ...options
  }: MergeOptions & { adapters?: readonly ActiveAdapter[] }): Promise<MergeReport> {
    return mergeModel(this.base, activeAt(this.partsOf(adapters), 0), options);
  }

  /** Token ids of a prompt, through the chat template where it is a conversation. */
  encode(prompt: Prompt): number[] {
    const tokenizer = requireTokenizer(this.base);
    return prompt.kind === "chat"
      ? tokenizer.encode(renderChat(tokenizer, prompt.messages), { addSpecialTokens: false })
      : tokenizer.encode(prompt.text);
  }

  /** Answers a prompt, with the active adapters or with those named. */
  async answer(prompt: Prompt, options: AnswerOptions = {}): Promise<Answer> {
    const ids = this.encode(prompt);
    const adapters = options.adapters ?? this.active;
    const inputs = options.adapters ? this.inputsOf(options.adapters) : this.activeInputs;
    const stream = new TextStream(requireTokenizer(this.base));
    const wishes = [this.closing.signal, ...(options.signal ? [options.signal] : [])];
    let tokens = 0;
    const generated = await this.base.session.with(inputs, (session) =>
      generate(
        session,
        { prompt: ids, adapters: inputs },
        {
          sampling: options.sampling ?? greedy,
          maxNewTokens: options.maxNewTokens ?? 256,
          stopTokens: this.base.stopTokens,
          signal: AbortSignal.any(wishes),
          onToken: (id) => {
            stream.push(id);
            options.onText?.(stream.text, ++tokens);
          },
        },
      ),
    );
    return { ...generated, text: stream.finish(), promptTokens: ids.length, adapters };
  }

  /** Ends the answers under way as cancelled, then frees the base. */
  async dispose(): Promise<void> {
    this.closing.abort();
    await this.base.session.dispose();
  }

  private require(name: string): LoadedAdapter {
    const adapter = this.loaded.get(name);
    if (adapter) return adapter;
    const names = [...this.loaded.keys()].join(", ") || "none";
    throw badRequest(`No adapter named "${name}" is loaded. Loaded: ${names}.`);
  }
}

/** Refuses an adapter that binds nothing, and a partial one unless that was agreed to. */
export function checkReport(
  { dir, config }: AdapterCheckpoint,
  report: BindReport,
  { allowPartial }: { allowPartial: boolean },
): void {
  const { bound, total } = report;
  if (bound.length === 0) {
    const trained = config.baseName ? ` It was trained on ${config.baseName}.` : "";
    throw misfit(`${dir} does not fit this base: 0 of ${total} modules bound.${trained}`, {
      file: config.file,
      unbound: report.unbound,
      unexpected: report.unexpected,
    });
  }
  const [first] = bindWarnings(report);
  if (first !== undefined && !allowPartial) {
    throw new GraftError(
      "partial-bind",
      `${dir}: ${bound.length} of ${total} modules bound. ${first}`,
      {
        file: config.file,
        bound: bound.length,
        total,
        unbound: report.unbound,
        unexpected: report.unexpected,
      },
    );
  }
}

/** Fields that this version does not know are kept and named; they may matter. */
function fieldWarnings({ config }: AdapterCheckpoint, method: Method): string[] {
  const unknown = Object.keys(config.raw).filter(
    (field) => !(field in method.fields) && !(field in commonFields),
  );
  return unknown.length === 0
    ? []
    : [`The config has fields that Graft does not know: ${few(unknown)}.`];
}

/** Sentences on what found no place; none when all did. */
export function bindWarnings({ unbound, unexpected }: BindReport): string[] {
  const warnings: string[] = [];
  if (unbound.length > 0) {
    warnings.push(`Targeted modules without tensors stay as in the base: ${few(unbound)}.`);
  }
  if (unexpected.length > 0) {
    warnings.push(`Tensors that no targeted module takes are left out: ${few(unexpected)}.`);
  }
  return warnings;
}

function few(names: readonly string[]): string {
  const shown = names.slice(0, 4).join(", ");
  return names.length > 4 ? `${shown} and ${names.length - 4} more` : shown;
}
