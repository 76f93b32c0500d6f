import { t } from "@vscode/l10n";
import { dtypeLabel } from "../core/base/dtype.ts";
import { unsupported } from "../core/base/errors.ts";
import { methodLabel } from "../core/checkpoint/adapterConfig.ts";
import { adapterFolders } from "../core/checkpoint/findAdapter.ts";
import { convertAdapter } from "../core/convertAdapter.ts";
import { families } from "../core/models/index.ts";
import { neededMemory } from "../core/memoryCheck.ts";
import { methods } from "../core/peft/index.ts";
import { headOf } from "../core/models/model.ts";
import type { LoadedAdapter, PeftModel } from "../core/peftModel.ts";
import { resolveModel } from "../core/resolveModel.ts";
import { deviceLabels } from "../core/session/devices.ts";
import { runtimeLabel } from "../core/session/ortSession.ts";
import type { Handlers } from "../protocol/connection.ts";
import {
  type AdapterInfo,
  type BaseModelInfo,
  type EngineContract,
  type GenerateEvent,
  protocolVersion,
} from "../protocol/engineContract.ts";
import { AdapterLoads } from "./adapterLoads.ts";
import { AdapterSummaries } from "./adapterSummaries.ts";
import { analysisHandlers } from "./analysis.ts";
import { convertResult } from "./convertResult.ts";
import { describeCheckpoint, discover, readAdapters } from "./discover.ts";
import { checkFits, inspectAdapter } from "./inspect.ts";
import { exportSummary } from "./exportSummary.ts";
import { generateResult, generationHandlers } from "./generation.ts";
import { hubHandlers, hubPlace } from "./hub.ts";
import { Library } from "./library.ts";
import { loadingHandlers } from "./loading.ts";
import { mergeResult, previewResult } from "./mergeResult.ts";
import { configHandlers } from "./config.ts";
import { predictHandlers } from "./predict.ts";
import { promptsHandlers } from "./prompts.ts";
import { statusResult } from "./statusResult.ts";
import { tensorHandlers } from "./tensors.ts";
import { runsHandlers } from "./training/handlers.ts";
import { trainingHandlers } from "./training/trainingHandlers.ts";

/** What the engine answers to each request of its contract. */
export function createService(library = new Library()): Handlers<EngineContract> {
  const adapterLoads = new AdapterLoads();
  const summaries = new AdapterSummaries();
  return {
    hello: ({ version }) => {
      if (version !== protocolVersion) {
        throw unsupported(
          t("The editor speaks protocol {0}, this engine {1}", version, protocolVersion),
          t("Reload the window."),
        );
      }
      return {
        version: protocolVersion,
        pid: process.pid,
        runtime: runtimeLabel,
        methods: methods.map((method) => method.peftType),
        families: families.map((family) => family.modelType),
      };
    },
    discover: (params, context) => discover(params, context, summaries),
    readAdapters: (params, context) => readAdapters(params, context, summaries),
    ...hubHandlers(library),
    ...configHandlers(library),
    ...predictHandlers(library),
    ...promptsHandlers(library),
    ...generationHandlers(library),
    ...loadingHandlers,
    ...tensorHandlers,
    ...runsHandlers,
    ...trainingHandlers,
    ...analysisHandlers,
    loadBaseModel: async (
      { path: named, forAdapter: wanted, hub, quantCache, ...wish },
      { emit, signal },
    ) => {
      const { base, adapter } = await resolveModel(named, hubPlace(hub, { emit, signal }));
      const forAdapter = adapter ?? wanted;
      const model = await library.open(base, {
        ...wish,
        ...(quantCache !== undefined && { quantCacheDir: quantCache }),
        ...(forAdapter !== undefined && { forAdapter }),
        onProgress: emit,
        signal,
      });
      prepareSoon(model);
      const info = baseInfo(model);
      return adapter === null ? info : { ...info, adapter };
    },
    unloadBaseModel: async ({ base }) => {
      await library.close(base);
      return null;
    },
    loadAdapter: async (params, { emit, signal }) => {
      const model = library.require(params.base);
      const { allowPartial = false, hub } = params;
      const options = { allowPartial, onProgress: emit, signal };
      const { folder } = await adapterFolders(params.path, hubPlace(hub, { emit, signal }));
      return adapterInfo(await adapterLoads.load(model, { ...params, path: folder }, options));
    },
    unloadAdapter: ({ base, name }) => {
      library.require(base).deleteAdapter(name);
      return null;
    },
    setActiveAdapters: ({ base, adapters }) => {
      const started = performance.now();
      library.require(base).setAdapter(adapters, { inferenceMode: true });
      return { swapSeconds: (performance.now() - started) / 1000 };
    },
    renameAdapter: ({ base, name, newName }) => {
      library.require(base).renameAdapter(name, newName);
      return null;
    },
    saveAdapter: async ({ base, name, folder, format, convertFrom, ...wishes }, { signal }) => {
      const warnings: string[] = [];
      const files = await library.require(base).saveAdapter(name, folder, {
        ...wishes,
        safeSerialization: format !== "bin",
        pathInitialModelForWeightConversion: convertFrom,
        onWarning: (warning) => warnings.push(warning),
        signal,
      });
      return { files, warnings };
    },
    combineAdapters: async ({ base, adapters, name, folder, type, ...options }, context) => {
      const { majoritySign: majoritySignMethod, ...rest } = options;
      const combined = await library.require(base).addWeightedAdapter(
        adapters.map((each) => each.name),
        adapters.map(({ weight }) => weight),
        name,
        {
          ...rest,
          ...(majoritySignMethod && { majoritySignMethod }),
          folder,
          combinationType: type,
          leadToBase: true,
          onProgress: context.emit,
          signal: context.signal,
        },
      );
      return adapterInfo(combined);
    },
    mergeAdapters: async ({ base, ...options }, { emit, signal }) => {
      const work = { ...options, onProgress: emit, signal };
      return mergeResult(await library.require(base).mergeAndUnload(work));
    },
    exportOnnx: async ({ base, ...options }, { emit, signal }) => {
      const report = await library
        .require(base)
        .exportOnnx({ ...options, onProgress: emit, signal });
      return { ...report, files: [...report.files] };
    },
    previewMerge: async ({ base, ...options }, { emit, signal }) => {
      const work = { ...options, onProgress: emit, signal };
      return previewResult(await library.require(base).previewMerge(work));
    },
    measureEffect: ({ base, ...options }, { emit, signal }) =>
      library.require(base).measureEffect({ ...options, onProgress: emit, signal }),
    convertAdapter: async (params, { emit, signal }) =>
      convertResult(await convertAdapter({ ...params, onProgress: emit, signal })),
    modelStatus: ({ base }) => statusResult(library.require(base)),
    checkFit: ({ base, paths }) => checkFits(paths, library.require(base)),
    inspectAdapter: ({ path: folder, base }) => inspectAdapter(folder, library.find(base)),
    generate: async ({ base, prompt, adapters, sampling }, { emit, signal }) => {
      let firstToken = 0;
      const report = (text: string, tokens: number): GenerateEvent => {
        const now = performance.now();
        if (tokens === 1) firstToken = now;
        const tokensPerSecond = tokens > 1 ? ((tokens - 1) * 1000) / (now - firstToken) : 0;
        return { text, tokens, tokensPerSecond };
      };
      const model = library.require(base);
      const answer = await model.answer(prompt, {
        ...(await library.readingOf(model, signal)),
        sampling,
        adapters,
        maxNewTokens: sampling.maxNewTokens,
        onText: (text, tokens) => emit(report(text, tokens)),
        signal,
      });
      return generateResult(answer);
    },
  };
}

/** Once the answer is on its way and what the host asks next is done, as far as it is known by then. */
function prepareSoon({ base: { tokenizer } }: PeftModel): void {
  setTimeout(() => {
    try {
      tokenizer?.prepare();
    } catch {
      // The first text says it, to whoever asked for it.
    }
  }, 100).unref();
}

function baseInfo({ base }: PeftModel): BaseModelInfo {
  const { checkpoint, session, tokenizer, loadSeconds, precision, memory } = base;
  return {
    ...describeCheckpoint(checkpoint, "folder"),
    loadSeconds,
    deviceNote: base.device.note,
    precision: precision.label,
    lost: precision.error?.relative ?? null,
    memory: { estimate: neededMemory(memory.estimate), free: memory.free },
    contextLength: session.model.contextLength,
    layers: session.model.layers,
    device: deviceLabels[base.device.used],
    hasChatTemplate: tokenizer !== null && tokenizer.chatTemplate !== null,
    task: headOf(session.model).task,
    warnings: [...base.warnings],
    ...(base.export && { export: exportSummary(base.export) }),
  };
}

function adapterInfo({ name, checkpoint, report, weights, ...rest }: LoadedAdapter): AdapterInfo {
  const { peftType } = checkpoint.config;
  const method = methods.find((known) => known.peftType === peftType);
  const { tasks, virtualTokens } = weights.effects;
  const taskCount = tasks?.length ?? virtualTokens?.tasks.length ?? 1;
  return {
    name,
    path: checkpoint.dir,
    peftType,
    tasks: taskCount > 1 ? taskCount : null,
    dtypes: [...new Set(checkpoint.weights.tensors.map(({ dtype }) => dtypeLabel(dtype)))],
    method: methodLabel(checkpoint.config),
    rank: method?.rank(checkpoint.config) ?? null,
    parameters: weights.parameters,
    bound: report.bound.length,
    total: report.total,
    attachSeconds: rest.attachSeconds,
    warnings: [...rest.warnings],
  };
}
