import { realpath } from "node:fs/promises";
import * as path from "node:path";
import { badRequest, throwIfAborted, unsupported } from "./base/errors.ts";
import { type BaseModel, requireTokenizer } from "./baseModel.ts";
import { openAdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import { type LoadAdapterOptions, type LoadedAdapter, readAdapter } from "./loadAdapter.ts";
import { answerBatch, type AnswerBatchOptions } from "./answerBatch.ts";
import { type EffectReport, measureEffect, type MeasureOptions } from "./measureEffect.ts";
import { MergedState, type MergedReport } from "./mergedState.ts";
import type { MergeInMemoryOptions } from "./mergeInMemory.ts";
import { mergeModel, type MergeOptions, type MergeReport } from "./mergeModel.ts";
import { type MergePreview, previewMerge, type PreviewOptions } from "./mergePreview.ts";
import type { AdapterEffects } from "./peft/effect.ts";
import type { ActiveEffects } from "./peft/slots.ts";
import { arrowEffects, type ArrowOptions } from "./peft/arrow.ts";
import { combineAdapters } from "./peft/combine.ts";
import type { CombineOptions } from "./peft/combine/options.ts";
import { activeAt } from "./peft/rowSlots.ts";
import { checkTogether } from "./peft/together.ts";
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
import type { Tokenizer } from "./tokens/tokenizer.ts";

export type { LoadAdapterOptions, LoadedAdapter };

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
  /** Follow what is active: other adapters and weights act from the next token on. */
  readonly live?: boolean;
  /** The whole text so far, with each token. */
  readonly onText?: (text: string, tokens: number) => void;
  readonly signal?: AbortSignal;
}

export interface Answer extends Generated {
  readonly text: string;
  readonly promptTokens: number;
  readonly adapters: readonly ActiveAdapter[];
}

/** Names stand for adapters as trained. */
function asActive(adapters: string | readonly (string | ActiveAdapter)[]): ActiveAdapter[] {
  const list = typeof adapters === "string" ? [adapters] : adapters;
  return list.map((each) => (typeof each === "string" ? { name: each, weight: 1 } : each));
}

/** How PEFT's `adapter_names` spells a row without adapters. */
const baseRow = "__base__";

/**
 * A base model with adapters, after PEFT's PeftModel: load several, make one or more active, switch
 * by choosing other tensors. The session is built once and never again.
 */
export class PeftModel {
  private readonly loaded = new Map<string, LoadedAdapter>();
  private active: readonly ActiveAdapter[] = [];
  private trainable: ReadonlySet<string> = new Set();
  private readonly closing = new AbortController();
  private readonly merged: MergedState<ActiveAdapter>;
  private activeInputs: BaseInputs;

  constructor(readonly base: BaseModel) {
    this.merged = new MergedState(base);
    this.activeInputs = this.inputsOf([]);
    const { attached } = base;
    if (!attached) return;
    this.loaded.set(attached.name, attached);
    this.setAdapter(attached.name, { inferenceMode: true });
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

  /** Adapters whose change the session's weights hold, in the order in which they were merged. */
  get mergedAdapters(): readonly ActiveAdapter[] {
    return this.merged.adapters;
  }

  /**
   * Reads an adapter and binds it to the base; it takes part once `setAdapter` names it.
   * @param modelId a folder, or the id of a repository in the Hugging Face cache
   * @throws misfit when no module is bound or shapes disagree; partial-bind when only some are
   */
  async loadAdapter(modelId: string, options: LoadAdapterOptions = {}): Promise<LoadedAdapter> {
    const { adapterName: name = "default", signal } = options;
    if (this.loaded.has(name)) throw badRequest(`An adapter named "${name}" is already loaded.`);
    const started = performance.now();
    const read = await readAdapter(this.base, modelId, { ...options, others: this.adapters });
    throwIfAborted(signal);
    await this.prepare(read.weights.effects);
    // Somebody else may have taken the name while the file was read.
    if (this.loaded.has(name)) throw badRequest(`An adapter named "${name}" is already loaded.`);
    const adapter = { ...read, attachSeconds: (performance.now() - started) / 1000 };
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
    const active = asActive(adapters);
    this.merged.refuseWhileMerged("choose which adapters are active");
    this.activeInputs = this.inputsOf(active);
    this.active = active;
  }

  /** Makes room for an adapter, which may build the session anew. */
  private async prepare(effects: AdapterEffects): Promise<void> {
    if (await this.base.session.prepare(effects)) this.refreshInputs();
  }

  private refreshInputs(): void {
    const { isMerged, adapters } = this.merged;
    this.activeInputs = this.inputsOf(isMerged ? adapters : this.active);
  }

  /** Answers come from the bare base from now on; adapters stay loaded. */
  disableAdapter(): void {
    this.setAdapter([]);
  }

  /** Forgets an adapter; when it was active the others stay active. */
  deleteAdapter(name: string): void {
    const { weights } = this.require(name);
    this.merged.refuseWhileMerged("delete it", name);
    const before = this.active;
    if (before.some((each) => each.name === name)) {
      this.activate(before.filter((each) => each.name !== name));
    }
    this.loaded.delete(name);
    this.base.session.forget(weights.effects);
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
    this.merged.rename(name, newName);
  }

  /**
   * Puts another adapter's weights under the name of a loaded one (PEFT's hotswap), which keeps its
   * place and stays active. Whatever fails, the old one stays.
   * @param modelId as of `loadAdapter`
   */
  async hotswapAdapter(
    modelId: string,
    name: string,
    options: Omit<LoadAdapterOptions, "adapterName"> = {},
  ): Promise<LoadedAdapter> {
    const old = this.require(name);
    this.merged.refuseWhileMerged("swap it", name);
    const started = performance.now();
    const read = await readAdapter(this.base, modelId, { ...options, adapterName: name });
    throwIfAborted(options.signal);
    await this.prepare(read.weights.effects);
    if (this.loaded.get(name) !== old) throw badRequest(`"${name}" has changed in the meantime.`);
    this.merged.refuseWhileMerged("swap it", name);
    const adapter = { ...read, attachSeconds: (performance.now() - started) / 1000 };
    this.loaded.set(name, adapter);
    try {
      this.refreshInputs();
    } catch (error) {
      this.loaded.set(name, old);
      throw error;
    }
    this.base.session.forget(old.weights.effects);
    return adapter;
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
    return {
      base,
      adapters,
      active,
      merged: this.mergedAdapters.map(({ name }) => name),
      trainable,
    };
  }

  /** Inputs of the session for a set of adapters, e.g. for `session.start`. */
  inputsOf(adapters: readonly ActiveAdapter[]): BaseInputs {
    return this.merged.isMerged
      ? this.merged.inputsFor(adapters)
      : this.base.session.inputs(this.partsOf(adapters));
  }

  /**
   * Inputs for a batch whose rows have adapters of their own (PEFT's `adapter_names`): a name or a
   * weighted set for each row; "__base__" or [] is the bare base.
   * @throws unsupported, by name, for adapters that cannot act in some rows alone
   */
  inputsOfRows(rows: readonly (string | readonly ActiveAdapter[])[]): BaseInputs {
    this.merged.refuseWhileMerged("give rows adapters of their own");
    // Rows of one name share what is made of it.
    const named = new Map<string, ActiveEffects[]>([[baseRow, []]]);
    return this.base.session.inputsOfRows(
      rows.map((row) => {
        if (typeof row !== "string") return activeAt(this.partsOf(row), 0);
        const parts = named.get(row) ?? activeAt(this.partsOf([{ name: row, weight: 1 }]), 0);
        named.set(row, parts);
        return parts;
      }),
    );
  }

  /**
   * Inputs that route every token among loaded LoRA adapters (PEFT's create_arrow_model).
   * @throws bad-request unless all are plain LoRA of one rank on the same modules
   */
  async arrowInputs(names: readonly string[], options: ArrowOptions = {}): Promise<BaseInputs> {
    const experts = names.map((name) => this.require(name).weights.effects);
    this.merged.refuseWhileMerged("route among adapters");
    const effects = arrowEffects(experts, options);
    await this.prepare(effects);
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
    const parts = adapters.map(({ name, weight, task }) => {
      if (seen.has(name)) throw badRequest(`Adapter "${name}" is named twice.`);
      if (!Number.isFinite(weight)) throw badRequest(`The weight of "${name}" is ${weight}.`);
      seen.add(name);
      return { name, effects: this.require(name).weights.effects, weight, task };
    });
    checkTogether(parts);
    return parts;
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
    if (this.base.quantization) {
      throw unsupported(
        "Graft does not write a merged model of a base that was quantized as it was loaded",
        "Load the base without quantization, then merge.",
      );
    }
    return mergeModel(this.base, activeAt(this.partsOf(adapters), 0), options);
  }

  /** What merging would lose to rounding, found without writing anything. */
  async previewMerge({
    adapters = this.active,
    ...options
  }: PreviewOptions & { adapters?: readonly ActiveAdapter[] } = {}): Promise<MergePreview> {
    return previewMerge(this.base, activeAt(this.partsOf(adapters), 0), options);
  }

  /**
   * Merges the active adapters, or those named, into the session's weights (PEFT's merge_adapter):
   * answers then cost what the base's cost. The checkpoint is not written; `unmergeAdapter` goes back
   * to it exactly. Adapters that are merged already stay merged.
   * @throws unsupported when an adapter cannot be merged; bad-file for NaN; everything stays as it was
   */
  async mergeAdapter(
    adapters: string | readonly (string | ActiveAdapter)[] = this.active,
    options: MergeInMemoryOptions = {},
  ): Promise<MergedReport> {
    const effectsOf = (all: readonly ActiveAdapter[]): ActiveEffects[] =>
      activeAt(this.partsOf(all), 0);
    const report = await this.merged.merge(asActive(adapters), effectsOf, options);
    this.refreshInputs();
    return report;
  }

  /** Answers come from the base's own weights and the active adapters again. */
  async unmergeAdapter(): Promise<void> {
    await this.merged.unmerge();
    this.refreshInputs();
  }

  /** How the active adapters, or those named, change what the base says on probe prompts. */
  async measureEffect(options: MeasureOptions = {}): Promise<EffectReport> {
    this.merged.refuseWhileMerged("compare with the base");
    return measureEffect(this, options);
  }

  /** Answers several prompts in one pass a token, each with adapters of its own where `rows` says so. */
  async answerBatch(
    prompts: readonly Prompt[],
    options: AnswerBatchOptions = {},
  ): Promise<Answer[]> {
    return answerBatch(this, prompts, { ...options, signal: this.stopSignal(options.signal) });
  }

  /** The active inputs, where they are for the session that an answer began in; else its own. */
  private liveInputs(own: BaseInputs): BaseInputs {
    const now = this.activeInputs;
    const isSame = now.order === own.order && now.tensors.size === own.tensors.size;
    return isSame && !this.merged.isMerged ? now : own;
  }

  private stopSignal(signal: AbortSignal | undefined): AbortSignal {
    return AbortSignal.any([this.closing.signal, ...(signal ? [signal] : [])]);
  }

  /**
   * The tokenizer of prompts for these adapters: that of the first which came with one of its own,
   * else the base's; null where there is none.
   */
  tokenizerFor(adapters: readonly ActiveAdapter[] = this.active): Tokenizer | null {
    const own = adapters.map(({ name }) => this.require(name).tokenizer);
    return own.find((tokenizer) => tokenizer !== null) ?? this.base.tokenizer;
  }

  /**
   * Token ids of a prompt, through the chat template where it is a conversation.
   * @param adapters for which the prompt is meant: an adapter may bring a tokenizer of its own
   */
  encode(prompt: Prompt, adapters: readonly ActiveAdapter[] = this.active): number[] {
    const tokenizer = this.requireTokenizer(adapters);
    return prompt.kind === "chat"
      ? tokenizer.encode(renderChat(tokenizer, prompt.messages), { addSpecialTokens: false })
      : tokenizer.encode(prompt.text);
  }

  /** The base's end-of-text ids, and that of the tokenizer in use. */
  stopTokensFor(adapters: readonly ActiveAdapter[]): ReadonlySet<number> {
    const end = this.tokenizerFor(adapters)?.eosTokenId ?? null;
    return end === null ? this.base.stopTokens : new Set([...this.base.stopTokens, end]);
  }

  private requireTokenizer(adapters: readonly ActiveAdapter[]): Tokenizer {
    return this.tokenizerFor(adapters) ?? requireTokenizer(this.base);
  }

  /** Answers a prompt, with the active adapters or with those named. */
  async answer(prompt: Prompt, options: AnswerOptions = {}): Promise<Answer> {
    const current = this.merged.isMerged ? this.mergedAdapters : this.active;
    const adapters = options.adapters ?? current;
    const ids = this.encode(prompt, adapters);
    const inputs = options.adapters ? this.inputsOf(options.adapters) : this.activeInputs;
    const stream = new TextStream(this.requireTokenizer(adapters));
    let tokens = 0;
    const generated = await this.base.session.with(inputs, (session) =>
      generate(
        session,
        { prompt: ids, adapters: inputs },
        {
          sampling: options.sampling ?? greedy,
          maxNewTokens: options.maxNewTokens ?? 256,
          stopTokens: this.stopTokensFor(adapters),
          signal: this.stopSignal(options.signal),
          ...(options.live && { adaptersNow: () => this.liveInputs(inputs) }),
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
    await this.merged.dispose();
  }

  private require(name: string): LoadedAdapter {
    const adapter = this.loaded.get(name);
    if (adapter) return adapter;
    const names = [...this.loaded.keys()].join(", ") || "none";
    throw badRequest(`No adapter named "${name}" is loaded. Loaded: ${names}.`);
  }
}
