import { t } from "@vscode/l10n";
import { AdapterNotes, type AdapterNotesOptions } from "./adapterNotes.ts";
import { FoundModels, type FoundModelsOptions } from "./foundModels.ts";
import type { EngineConnection, Requester } from "./engineProcess.ts";
import { failureOf, HostError } from "./failure.ts";
import type { RequestOptions } from "./protocol/connection.ts";
import type {
  ActiveAdapter,
  AdapterInfo,
  BaseModelInfo,
  DiscoverParams,
  EffectResult,
  EngineContract,
  LoadBaseModelParams,
  LoadEstimate,
  LoadOptions,
  ProgressEvent,
  QuantCacheEntry,
} from "./protocol/engineContract.ts";
import type {
  GenerateEvent,
  GenerateParams,
  GenerateResult,
} from "./protocol/generationContract.ts";
import type { ModelTask, Prediction, PredictInput } from "./protocol/predictContract.ts";
import type { ModelStatusResult } from "./protocol/reportContract.ts";
import type {
  CombineParams,
  ConvertParams,
  ConvertResult,
  ExportOnnxParams,
  ExportOnnxResult,
  MergeParams,
  MergeResult,
  SaveAdapterParams,
  SaveAdapterResult,
} from "./protocol/writeContract.ts";
import type { AdapterEffect, EngineState, State } from "./state.ts";
import { StateStore } from "./stateStore.ts";
import { stopAtOnce } from "./stopAtOnce.ts";

/** What a window remembers of its models from one reload to the next. */
export interface Memento {
  base: string;
  /** How the base was loaded, where that was chosen. */
  load?: LoadOptions;
  adapters: { path: string; name: string }[];
  active: ActiveAdapter[];
}

export interface SessionOptions extends FoundModelsOptions, AdapterNotesOptions {
  recall(): Memento | undefined;
  remember(memento: Memento | undefined): void;
  /** How bases are loaded where nothing else was chosen. */
  loadDefaults?(): LoadOptions;
  /** Where weights that are made for a precision are kept. */
  quantCache?(): string;
}

type Work = RequestOptions<ProgressEvent>;

/** The one owner of what is discovered, loaded and active in this window. */
export class Session {
  private readonly store = new StateStore();
  private readonly notes: AdapterNotes;
  private readonly found: FoundModels;
  private queue: Promise<unknown> = Promise.resolve();
  private restoring: Promise<void> | undefined;
  /** How the loaded base was loaded, where that was chosen. */
  private chosen: LoadOptions | undefined;

  constructor(private readonly options: SessionOptions) {
    this.notes = new AdapterNotes(this.store, options);
    this.found = new FoundModels(this.store, this.notes, options);
  }

  get state(): State {
    return this.store.state;
  }

  onDidChange(listener: (state: State) => void): { dispose(): void } {
    return this.store.onDidChange(listener);
  }

  engineChanged(engine: EngineState): void {
    this.store.set({ engine });
  }

  /** Looks once; later calls answer from what is known. */
  discovered(): Promise<void> {
    return this.found.discovered();
  }

  refresh(): Promise<void> {
    return this.found.refresh();
  }

  /**
   * Looks at a few folders anew: what came, changed or went in them is then right.
   * @param roots real paths, as adapters and bases are known by
   */
  rescan(roots: DiscoverParams["roots"]): Promise<void> {
    return this.found.rescan(roots);
  }

  /** Brings back what this window had loaded before its reload; once, and only when asked. */
  restoreRemembered(work: Work = {}): Promise<void> {
    return (this.restoring ??= this.exclusive(async () => {
      const memento = this.options.recall();
      if (!memento || this.state.base) return;
      try {
        await this.load(this.options.engine, memento, work);
      } catch (thrown) {
        const failure = failureOf(thrown);
        this.options.warn(t("Not restored: {0}", failure.message));
        if (failure.code !== "engine-gone") this.options.remember(undefined);
      }
    }));
  }

  /** Puts what was loaded onto a fresh engine. Called by the engine process while others wait. */
  async restoreAfterCrash(connection: EngineConnection): Promise<void> {
    const memento = this.memento();
    if (!memento) return;
    try {
      await this.load(connection, memento, {});
    } catch (thrown) {
      if (failureOf(thrown).code !== "engine-gone") {
        this.setModels({ base: null, loaded: [], active: [], fits: new Map() });
      }
      throw thrown;
    }
  }

  /**
   * @param options `load`: how to load it, where that was chosen; a base that is loaded is then loaded
   *   anew. `forAdapter`: folder of an adapter that will be loaded on it, and may bring its head
   */
  loadBase(
    path: string,
    {
      load,
      forAdapter: wanted,
      ...work
    }: Work & { load?: LoadOptions | undefined; forAdapter?: string | undefined } = {},
  ): Promise<BaseModelInfo> {
    return this.exclusive(async () => {
      const before = this.state.base;
      if (before?.path === path && load === undefined) return before;
      // Of a base that is loaded anew the adapters come back.
      const own = before?.path === path ? this.state.loaded[0]?.path : undefined;
      const forAdapter = wanted ?? own;
      const chosen = { ...this.loadParams(load), ...(forAdapter !== undefined && { forAdapter }) };
      const params = { path, ...chosen };
      const base = await this.options.engine.request("loadBaseModel", params, work);
      this.chosen = load;
      if (before?.path === base.path && load !== undefined) return this.reattach(base, work);
      // An adapter's folder can lead to the base that is loaded already.
      if (before?.path === base.path) return base;
      // The old base goes last: a load that fails or is cancelled loses nothing.
      this.setModels({ base, loaded: [], active: [], fits: new Map() });
      if (before) await this.options.engine.request("unloadBaseModel", { base: before.path });
      await this.found.measureFits();
      return base;
    });
  }

  /** What loading a base would take in each precision. */
  estimateLoad(path: string): Promise<LoadEstimate> {
    return this.options.engine.request("estimateLoad", { path });
  }

  quantCache(): Promise<QuantCacheEntry[]> {
    const folder = this.options.quantCache?.();
    if (folder === undefined) return Promise.resolve([]);
    return this.options.engine.request("listQuantCache", { folder });
  }

  clearQuantCache(keys: string[]): Promise<{ bytes: number }> {
    const folder = this.options.quantCache?.() ?? "";
    return this.options.engine.request("clearQuantCache", { folder, keys });
  }

  unloadBase(): Promise<void> {
    return this.exclusive(async () => {
      const { path } = this.needBase();
      await this.options.engine.request("unloadBaseModel", { base: path });
      this.setModels({ base: null, loaded: [], active: [], fits: new Map() });
    });
  }

  loadAdapter(path: string, work: Work & { allowPartial?: boolean } = {}): Promise<AdapterInfo> {
    return this.exclusive(async () => {
      const base = this.needBase().path;
      const known = this.state.loaded.find((l) => l.path === path);
      if (known) return known;
      const { allowPartial, ...rest } = work;
      const adapter = await this.options.engine.request(
        "loadAdapter",
        { base, path, allowPartial },
        rest,
      );
      this.setModels({ loaded: [...this.state.loaded, adapter] });
      return adapter;
    });
  }

  unloadAdapter(name: string): Promise<void> {
    return this.exclusive(async () => {
      const base = this.needBase().path;
      const active = this.state.active.filter((a) => a.name !== name);
      if (active.length < this.state.active.length) await this.switchTo(active);
      await this.options.engine.request("unloadAdapter", { base, name });
      this.setModels({ loaded: this.state.loaded.filter((l) => l.name !== name), active });
    });
  }

  /** Keeps the base that the user has named for an adapter; null forgets it. */
  rememberBaseOf(adapter: string, base: string | null): void {
    this.notes.noteBase(adapter, base);
  }

  /** Gives a loaded adapter another name; whether it is active stays. */
  renameAdapter(name: string, newName: string): Promise<void> {
    return this.exclusive(async () => {
      const base = this.needBase().path;
      await this.options.engine.request("renameAdapter", { base, name, newName });
      const rename = <T extends { name: string }>(each: T): T =>
        each.name === name ? { ...each, name: newName } : each;
      const { loaded, active } = this.state;
      this.setModels({ loaded: loaded.map(rename), active: active.map(rename) });
    });
  }

  /** Makes a new adapter of loaded ones; it is loaded, and not active yet. */
  combine(params: Omit<CombineParams, "base">, work: Work = {}): Promise<AdapterInfo> {
    return this.exclusive(async () => {
      const base = this.needBase().path;
      const request = { base, ...params };
      const adapter = await this.options.engine.request("combineAdapters", request, work);
      this.setModels({ loaded: [...this.state.loaded, adapter] });
      return adapter;
    });
  }

  /** Writes a loaded adapter into a folder of its own. */
  saveAdapter(
    params: Omit<SaveAdapterParams, "base">,
    options: RequestOptions<never> = {},
  ): Promise<SaveAdapterResult> {
    const base = this.needBase().path;
    return this.options.engine.request("saveAdapter", { base, ...params }, options);
  }

  /** Writes the loaded base with adapters merged in. Not queued: it changes nothing in memory. */
  merge(params: Omit<MergeParams, "base">, work: Work = {}): Promise<MergeResult> {
    const base = this.needBase().path;
    return this.options.engine.request("mergeAdapters", { base, ...params }, work);
  }

  /** Writes the loaded base with adapters for other runtimes. Not queued: it changes nothing in memory. */
  exportOnnx(params: Omit<ExportOnnxParams, "base">, work: Work = {}): Promise<ExportOnnxResult> {
    const base = this.needBase().path;
    return this.options.engine.request("exportOnnx", { base, ...params }, work);
  }

  /** Compares answers to probe prompts with and without adapters. */
  async measureEffect(adapters: ActiveAdapter[], work: Work = {}): Promise<EffectResult> {
    const base = this.needBase().path;
    const effect = await this.options.engine.request("measureEffect", { base, adapters }, work);
    const [only, ...others] = adapters;
    const measured = this.state.loaded.find(({ name }) => name === only?.name);
    if (measured && only?.weight === 1 && others.length === 0) {
      this.noteEffect(measured.path, { kind: "logits", value: effect.mean });
    }
    return effect;
  }

  /** Keeps how strong an adapter is; what was measured on answers outlives a norm. */
  noteEffect(path: string, effect: AdapterEffect): void {
    this.notes.noteEffect(path, effect);
  }

  /** Turns an adapter into another form on disk. Not queued: it changes nothing in memory. */
  convert(params: ConvertParams, work: Work = {}): Promise<ConvertResult> {
    return this.options.engine.request("convertAdapter", params, work);
  }

  /** Makes exactly these adapters take part in answers; none is the bare base. */
  activate(active: ActiveAdapter[]): Promise<void> {
    return this.exclusive(() => this.switchTo(active));
  }

  /** Not queued behind loads: the engine answers with what is loaded when it begins. */
  async generate(
    params: Omit<GenerateParams, "base">,
    options: RequestOptions<GenerateEvent> = {},
  ): Promise<GenerateResult> {
    const { path: base, name, task } = this.needBase();
    if (task !== "language-modeling") throw writesNothing(name, task);
    const started = performance.now();
    const answer = await stopAtOnce<GenerateResult, GenerateEvent>(
      options,
      (own) => this.options.engine.request("generate", { base, ...params }, own),
      {
        stopped: () => ({
          ...{ text: "", tokens: 0, tokensPerSecond: 0, promptTokens: 0 },
          finish: "cancelled",
          seconds: (performance.now() - started) / 1000,
          seed: params.sampling.seed ?? 0,
          adapters: params.adapters ?? [...this.state.active],
        }),
      },
    );
    this.noteAnswer(answer);
    return answer;
  }

  /** Keeps how quick the last answer was, whoever asked for it. */
  noteAnswer({ tokens, tokensPerSecond }: NonNullable<State["lastAnswer"]>): void {
    if (tokens > 0) this.store.set({ lastAnswer: { tokens, tokensPerSecond } });
  }

  /** What a base that does not write text says of an input, with the active adapters. */
  async predict(input: PredictInput, options: { signal?: AbortSignal } = {}): Promise<Prediction> {
    const base = this.needBase().path;
    const params = { base, inputs: [input] };
    const [prediction] = await this.options.engine.request("predict", params, options);
    return prediction as Prediction;
  }

  inspect(path: string): Promise<EngineContract["inspectAdapter"]["result"]> {
    const base = this.state.base?.path;
    return this.options.engine.request("inspectAdapter", { path, base });
  }

  /** The loaded base with its adapters, as PEFT describes a model. */
  modelStatus(): Promise<ModelStatusResult> {
    const base = this.needBase().path;
    return this.options.engine.request("modelStatus", { base });
  }

  private needBase(): BaseModelInfo {
    if (this.state.base) return this.state.base;
    throw new HostError("bad-request", t("No base model is loaded. Load a base model first."));
  }

  private async switchTo(active: ActiveAdapter[]): Promise<void> {
    const base = this.needBase().path;
    await this.options.engine.request("setActiveAdapters", { base, adapters: active });
    this.setModels({ active });
  }

  private loadParams(chosen: LoadOptions | undefined): Omit<LoadBaseModelParams, "path"> {
    const quantCache = this.options.quantCache?.();
    return {
      ...this.options.loadDefaults?.(),
      ...chosen,
      ...(quantCache !== undefined && { quantCache }),
    };
  }

  /** Puts the adapters that were loaded onto their base again, which was loaded anew. */
  private async reattach(base: BaseModelInfo, work: Work): Promise<BaseModelInfo> {
    const { loaded: adapters, active } = this.state;
    this.setModels({ base, loaded: [], active: [] });
    await this.attachAll(this.options.engine, { base, adapters, active }, work);
    return base;
  }

  private async load(engine: Requester, memento: Memento, work: Work): Promise<void> {
    const forAdapter = memento.adapters[0]?.path;
    const params = {
      path: memento.base,
      ...this.loadParams(memento.load),
      ...(forAdapter !== undefined && { forAdapter }),
    };
    const base = await engine.request("loadBaseModel", params, work);
    this.chosen = memento.load;
    await this.attachAll(engine, { ...memento, base }, work);
    await this.found.measureFits(engine);
  }

  private async attachAll(
    engine: Requester,
    {
      base,
      adapters,
      active,
    }: {
      base: BaseModelInfo;
      adapters: readonly { path: string; name: string }[];
      active: readonly ActiveAdapter[];
    },
    work: Work,
  ): Promise<void> {
    const loaded: AdapterInfo[] = [];
    for (const { path, name } of adapters) {
      // It was loaded before, so whether a partial bind is wanted has been answered.
      const params = { base: base.path, path, name, allowPartial: true };
      loaded.push(await engine.request("loadAdapter", params, work));
    }
    await engine.request("setActiveAdapters", { base: base.path, adapters: [...active] });
    this.setModels({ base, loaded, active });
  }

  private memento(): Memento | undefined {
    const { base, loaded, active } = this.state;
    if (!base) return undefined;
    const adapters = loaded.map(({ path, name }) => ({ path, name }));
    const load = this.chosen && { load: this.chosen };
    return { base: base.path, ...load, adapters, active: [...active] };
  }

  /** One change at a time, in the order in which they were asked for. */
  private exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.queue.then(work, work);
    this.queue = result.catch(() => undefined);
    return result;
  }

  /** Changes what is loaded or active, which outlives a reload of the window. */
  private setModels(change: Partial<Pick<State, "base" | "loaded" | "active" | "fits">>): void {
    this.store.set(change);
    this.options.remember(this.memento());
  }
}

function writesNothing(name: string, task: ModelTask): HostError {
  const purpose = task.replaceAll("-", " ");
  return new HostError(
    "unsupported",
    t("{0} is a model for {1} and does not write text: use Graft: Run Test Prompt.", name, purpose),
  );
}
