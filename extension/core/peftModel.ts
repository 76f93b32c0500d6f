import { t } from "@vscode/l10n";
import {
  answer,
  type Answer,
  type AnswerOptions,
  encodePrompt,
  type Prompt,
  promptTokenizer,
  renderPrompt,
} from "./answer.ts";
import { answerBatch, type AnswerBatchOptions } from "./answerBatch.ts";
import { badRequest, throwIfAborted } from "./base/errors.ts";
import type { BaseModel } from "./baseModel.ts";
import type { BaseInputs } from "./baseSession.ts";
import { combineLoaded, type CombineLoadedOptions } from "./combineLoaded.ts";
import { exportOnnx, type ExportOnnxOptions, type ExportOnnxReport } from "./exportOnnx.ts";
import { type LoadAdapterOptions, type LoadedAdapter, readAdapter } from "./loadAdapter.ts";
import {
  type ActiveAdapter,
  type AdapterChoice,
  asActive,
  LoadedAdapters,
  type NamedEffects,
} from "./loadedAdapters.ts";
import { type EffectReport, measureEffect, type MeasureOptions } from "./measureEffect.ts";
import { type MergedReport, MergedState } from "./mergedState.ts";
import type { MergeInMemoryOptions } from "./mergeInMemory.ts";
import { mergeModel, type MergeOptions, type MergeReport } from "./mergeModel.ts";
import { type MergePreview, previewMerge, type PreviewOptions } from "./mergePreview.ts";
import { activeAt, type ActiveEffects } from "./peft/activeEffects.ts";
import { type ArrowAdapter, arrowEffects, type ArrowOptions } from "./peft/arrow.ts";
import type { AdapterEffects } from "./peft/effect.ts";
import { predict, type PredictInput, type Prediction, type PredictOptions } from "./predict.ts";
import {
  type PushOptions,
  type PushResult,
  type PushSource,
  pushSource,
  pushToHub,
} from "./pushToHub.ts";
import { saveLoaded } from "./saveLoaded.ts";
import type { SaveOptions } from "./savePretrained.ts";
import {
  countModel,
  layerStatus,
  type LayerStatus,
  type ModelState,
  modelStatus,
  type ModelStatus,
} from "./status.ts";
import type { Tokenizer } from "./tokens/tokenizer.ts";

/** How PEFT's `adapter_names` spells a row without adapters. */
const baseRow = "__base__";

/**
 * A base model with adapters, after PEFT's PeftModel: load several, make one or more active, switch
 * by choosing other tensors. The session is built once and never again.
 */
export class PeftModel {
  private readonly loaded = new LoadedAdapters();
  private readonly closing = new AbortController();
  private readonly merged: MergedState;
  private activeInputs: BaseInputs;

  constructor(readonly base: BaseModel) {
    this.merged = new MergedState(base);
    this.activeInputs = this.inputsOf([]);
    const { attached } = base;
    if (!attached) return;
    this.loaded.put(attached);
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
    return this.loaded.list;
  }

  get activeAdapters(): readonly ActiveAdapter[] {
    return this.loaded.active;
  }

  /** Inputs of the adapters that answers have now. */
  get currentInputs(): BaseInputs {
    return this.activeInputs;
  }

  /** The merged adapters, or the active ones where none is merged. */
  get currentAdapters(): readonly ActiveAdapter[] {
    return this.merged.isMerged ? this.merged.adapters : this.loaded.active;
  }

  /** Adapters whose change the session's weights hold, in the order in which they were merged. */
  get mergedAdapters(): readonly ActiveAdapter[] {
    return this.merged.adapters;
  }

  /**
   * Reads an adapter and binds it to the base; it takes part once `setAdapter` names it.
   * @param modelId a folder, or the id of a repository on the Hub, downloaded where it is not here
   * @throws misfit when no module is bound or shapes disagree; partial-bind when only some are
   */
  async loadAdapter(modelId: string, options: LoadAdapterOptions = {}): Promise<LoadedAdapter> {
    const { adapterName: name = "default", signal } = options;
    this.loaded.refuseTaken(name);
    const started = performance.now();
    const read = await readAdapter(this.base, modelId, { ...options, others: this.adapters });
    throwIfAborted(signal);
    await this.prepare(read.weights.effects);
    // Somebody else may have taken the name while the file was read.
    this.loaded.refuseTaken(name);
    const adapter = { ...read, attachSeconds: (performance.now() - started) / 1000 };
    this.loaded.put(adapter);
    if (options.isTrainable) this.loaded.train([...this.loaded.trainable, name]);
    return adapter;
  }

  /**
   * Makes one or several adapters active, in this order; their updates add up. As in PEFT these are
   * then the trainable ones, or with `inferenceMode` none is; it only matters for status and counts.
   */
  setAdapter(
    adapters: AdapterChoice,
    { inferenceMode = false }: { inferenceMode?: boolean } = {},
  ): void {
    const active = asActive(adapters);
    this.activate(active);
    this.loaded.train(inferenceMode ? [] : active.map(({ name }) => name));
  }

  private activate(active: readonly ActiveAdapter[]): void {
    this.merged.refuseWhileMerged(t("choose which adapters are active"));
    this.activeInputs = this.inputsOf(active);
    this.loaded.activate(active);
  }

  /** Makes room for an adapter, which may build the session anew. */
  private async prepare(effects: AdapterEffects): Promise<void> {
    if (await this.base.session.prepare(effects)) this.refreshInputs();
  }

  private refreshInputs(): void {
    this.activeInputs = this.inputsOf(this.currentAdapters);
  }

  /** Answers come from the bare base from now on; adapters stay loaded. */
  disableAdapter(): void {
    this.setAdapter([]);
  }

  /** Forgets an adapter; when it was active the others stay active. */
  deleteAdapter(name: string): void {
    const { weights } = this.loaded.require(name);
    this.merged.refuseWhileMerged(t("delete it"), name);
    const { active, trainable } = this.loaded;
    const rest = active.filter((each) => each.name !== name);
    if (rest.length < active.length) {
      this.activate(rest);
      // In PEFT a new active set is the trainable one.
      this.loaded.train(rest.map((each) => each.name).filter((each) => trainable.has(each)));
    }
    this.loaded.delete(name);
    this.base.session.forget(weights.effects);
  }

  /** Gives an adapter another name; its weights, its place and whether it is active stay. */
  renameAdapter(name: string, newName: string): void {
    this.loaded.rename(name, newName);
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
    const old = this.loaded.require(name);
    this.merged.refuseWhileMerged(t("swap it"), name);
    const started = performance.now();
    const read = await readAdapter(this.base, modelId, { ...options, adapterName: name });
    throwIfAborted(options.signal);
    await this.prepare(read.weights.effects);
    if (this.loaded.find(name) !== old)
      throw badRequest(t('"{0}" has changed in the meantime.', name));
    this.merged.refuseWhileMerged(t("swap it"), name);
    const adapter = { ...read, attachSeconds: (performance.now() - started) / 1000 };
    this.loaded.put(adapter);
    try {
      this.refreshInputs();
    } catch (error) {
      this.loaded.put(old);
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
    return {
      base: this.base,
      adapters: this.adapters,
      active: this.loaded.active.map(({ name }) => name),
      merged: this.mergedAdapters.map(({ name }) => name),
      trainable: this.loaded.trainable,
    };
  }

  /** Inputs of the session for a set of adapters, e.g. for `session.start`. */
  inputsOf(adapters: readonly ActiveAdapter[]): BaseInputs {
    return this.merged.isMerged
      ? this.merged.inputsFor(adapters)
      : this.base.session.inputs(this.loaded.effectsOf(adapters));
  }

  /**
   * Inputs for a batch whose rows have adapters of their own (PEFT's `adapter_names`): a name or a
   * weighted set for each row; "__base__" or [] is the bare base.
   * @throws unsupported, by name, for adapters that cannot act in some rows alone
   */
  inputsOfRows(rows: readonly (string | readonly ActiveAdapter[])[]): BaseInputs {
    this.merged.refuseWhileMerged(t("give rows adapters of their own"));
    // Rows of one name share what is made of it.
    const named = new Map<string, ActiveEffects[]>([[baseRow, []]]);
    return this.base.session.inputsOfRows(
      rows.map((row) => {
        if (typeof row !== "string") return this.plainEffects(row);
        const effects = named.get(row) ?? this.plainEffects(asActive(row));
        named.set(row, effects);
        return effects;
      }),
    );
  }

  /**
   * Inputs that route every token among loaded LoRA adapters (PEFT's create_arrow_model).
   * @param options `generalAdapters`: those whose knowledge `useGks` subtracts
   * @throws bad-request unless all are plain LoRA of one rank on the same modules
   */
  async arrowInputs(
    names: readonly string[],
    {
      generalAdapters = [],
      ...options
    }: ArrowOptions & { generalAdapters?: readonly string[] } = {},
  ): Promise<BaseInputs> {
    const adaptersOf = (all: readonly string[]): ArrowAdapter[] =>
      all.map((name) => {
        const { checkpoint, weights } = this.loaded.require(name);
        return { config: checkpoint.config, effects: weights.effects };
      });
    this.merged.refuseWhileMerged(t("route among adapters"));
    const general = adaptersOf(generalAdapters);
    const effects = arrowEffects(adaptersOf(names), { ...options, general });
    await this.prepare(effects);
    return this.base.session.inputs([{ effects, weight: 1 }]);
  }

  /**
   * Makes a new adapter of loaded ones (PEFT's add_weighted_adapter), writes it into a folder of its
   * own and loads it from there; it takes part once `setAdapter` names it.
   */
  async addWeightedAdapter(
    adapters: readonly string[],
    weights: readonly number[],
    adapterName: string,
    options: CombineLoadedOptions,
  ): Promise<LoadedAdapter> {
    this.loaded.refuseTaken(adapterName);
    const warnings = await combineLoaded(
      { loaded: this.loaded, base: this.base },
      { names: adapters, weights },
      options,
    );
    // It is written: a wish to stop comes too late, and what its parts leave out was agreed to.
    const adapter = await this.loadAdapter(options.folder, { adapterName, allowPartial: true });
    const told = { ...adapter, warnings: [...warnings, ...adapter.warnings] };
    this.loaded.put(told);
    return told;
  }

  /** What a set of adapters does to weights that are the same for all rows. */
  private plainEffects(adapters: readonly ActiveAdapter[]): NamedEffects[] {
    return activeAt(this.loaded.effectsOf(adapters), 0);
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
    const names = [...new Set(selectedAdapters ?? this.loaded.names)];
    const adapters = names.map((name) => ({ name, own: this.loaded.require(name) }));
    return saveLoaded(this.loaded, adapters, { ...options, folder, base: this.base });
  }

  /**
   * Writes one adapter into a folder of its own, whatever its name.
   * @returns the paths of all files written
   */
  async saveAdapter(name: string, folder: string, options: SaveOptions = {}): Promise<string[]> {
    const adapters = [{ name: "default", own: this.loaded.require(name) }];
    return saveLoaded(this.loaded, adapters, { ...options, folder, base: this.base });
  }

  /** What pushing takes of loaded adapters, by name; of all when absent. */
  pushSource(selectedAdapters?: readonly string[]): PushSource {
    return pushSource(this.loaded, this.base, selectedAdapters);
  }

  /** Uploads adapters and a model card in one commit; see `planPush` for what that would be. */
  async pushToHub(
    repoId: string,
    { selectedAdapters, ...options }: PushOptions & { selectedAdapters?: readonly string[] } = {},
  ): Promise<PushResult> {
    return pushToHub(this.pushSource(selectedAdapters), repoId, options);
  }

  /**
   * Writes the base with the active adapters, or with those named, merged in; base and adapters
   * stay as they are.
   * @throws unsupported when an adapter cannot be merged, saying why
   */
  async mergeAndUnload({
    adapters = this.loaded.active,
    ...options
  }: MergeOptions & { adapters?: readonly ActiveAdapter[] }): Promise<MergeReport> {
    return mergeModel(this.base, this.plainEffects(adapters), options);
  }

  /**
   * Writes the base with the active adapters, or with those named, as an ONNX model for other
   * runtimes: merged into the weights, or as inputs.
   * @throws unsupported for what an export cannot hold, saying what and why
   */
  async exportOnnx({
    active = this.loaded.active,
    ...options
  }: ExportOnnxOptions & { active?: readonly ActiveAdapter[] }): Promise<ExportOnnxReport> {
    return exportOnnx(this.base, this.plainEffects(active), options);
  }

  /** What merging would lose to rounding, found without writing anything. */
  async previewMerge({
    adapters = this.loaded.active,
    ...options
  }: PreviewOptions & { adapters?: readonly ActiveAdapter[] } = {}): Promise<MergePreview> {
    return previewMerge(this.base, this.plainEffects(adapters), options);
  }

  /**
   * Merges the active adapters, or those named, into the session's weights (PEFT's merge_adapter):
   * answers then cost what the base's cost. The checkpoint is not written; `unmergeAdapter` goes back
   * to it exactly. Adapters that are merged already stay merged.
   * @throws unsupported when an adapter cannot be merged; bad-file for NaN; everything stays as it was
   */
  async mergeAdapter(
    adapters: AdapterChoice = this.loaded.active,
    options: MergeInMemoryOptions = {},
  ): Promise<MergedReport> {
    const effectsOf = (all: readonly ActiveAdapter[]): ActiveEffects[] => this.plainEffects(all);
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
    this.merged.refuseWhileMerged(t("compare with the base"));
    return measureEffect(this, options);
  }

  /** Answers several prompts in one pass a token, each with adapters of its own where `rows` says so. */
  async answerBatch(
    prompts: readonly Prompt[],
    options: AnswerBatchOptions = {},
  ): Promise<Answer[]> {
    return answerBatch(this, prompts, { ...options, signal: this.stopSignal(options.signal) });
  }

  private stopSignal(signal: AbortSignal | undefined): AbortSignal {
    return AbortSignal.any([this.closing.signal, ...(signal ? [signal] : [])]);
  }

  /**
   * The tokenizer of prompts for these adapters: that of the first which came with one of its own,
   * else the base's; null where there is none.
   */
  tokenizerFor(adapters: readonly ActiveAdapter[] = this.loaded.active): Tokenizer | null {
    const own = adapters.map(({ name }) => this.loaded.require(name).tokenizer);
    return own.find((tokenizer) => tokenizer !== null) ?? this.base.tokenizer;
  }

  /**
   * Token ids of a prompt, through the chat template where it is a conversation.
   * @param adapters for which the prompt is meant: an adapter may bring a tokenizer of its own
   */
  encode(prompt: Prompt, adapters: readonly ActiveAdapter[] = this.loaded.active): number[] {
    return encodePrompt(this, prompt, adapters);
  }

  /** A prompt as the model reads it: its text, and tokens with what each stands for. */
  renderPrompt(
    prompt: Prompt,
    adapters: readonly ActiveAdapter[] = this.loaded.active,
  ): { text: string; ids: number[]; pieces: string[] } {
    const { text, ids } = renderPrompt(this, prompt, adapters);
    const { vocabulary } = promptTokenizer(this, adapters);
    return { text, ids, pieces: ids.map((id) => vocabulary.label(id)) };
  }

  /**
   * What a model with a head says of texts, with the active adapters or with those named.
   * @throws unsupported for a base that writes text
   */
  async predict(
    inputs: readonly PredictInput[],
    options: PredictOptions = {},
  ): Promise<Prediction[]> {
    return predict(this, inputs, { ...options, signal: this.stopSignal(options.signal) });
  }

  /** Answers a prompt, with the active adapters or with those named. */
  async answer(prompt: Prompt, options: AnswerOptions = {}): Promise<Answer> {
    return answer(this, prompt, { ...options, signal: this.stopSignal(options.signal) });
  }

  /** Ends the answers under way as cancelled, then frees the base. */
  async dispose(): Promise<void> {
    this.closing.abort();
    await this.base.session.dispose();
    await this.merged.dispose();
  }
}
