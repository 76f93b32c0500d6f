import * as vscode from "vscode";
import type { GraftAnswer, GraftApi, GraftGeneration, GraftMessage, GraftOptions } from "./api.ts";
import { samplingSettings } from "./config.ts";
import type { Graft } from "./context.ts";
import { HostError } from "./failure.ts";
import type { AdapterInfo, BaseModelInfo } from "./protocol/engineContract.ts";
import type { Sampling } from "./protocol/generationContract.ts";
import type { Prompt } from "./protocol/generationContract.ts";

/** The exported API over this window's session. */
export function createApi({ session, engine }: Pick<Graft, "session" | "engine">): GraftApi {
  return {
    version: "1.0",
    list: async () => {
      await session.discovered();
      const { bases, adapters, base, loaded } = session.state;
      return {
        bases: bases.map(({ path, name, modelType: family, parameters, unsupported }) => ({
          ...{ path, name, family, parameters },
          ...(unsupported !== undefined && { problem: unsupported }),
        })),
        adapters: adapters.map(({ path, name, method, basePath, problem }) => ({
          ...{ path, name, method, basePath },
          ...(problem !== undefined && { problem }),
        })),
        loaded: { base: base && modelOf(base), adapters: loaded.map(adapterOf) },
      };
    },
    loadModel: async (path, { onProgress, signal } = {}) => {
      needTrust();
      const work = {
        onEvent: ({ step }: { step: string }) => onProgress?.(step),
        ...(signal && { signal }),
      };
      const base = await session.loadBase(path, work);
      if (base.adapter !== undefined) await session.loadAdapter(base.adapter, work);
      return modelOf(base);
    },
    attachAdapter: async (path, { onProgress, signal } = {}) => {
      needTrust();
      const work = {
        onEvent: ({ step }: { step: string }) => onProgress?.(step),
        ...(signal && { signal }),
      };
      return adapterOf(await session.loadAdapter(path, work));
    },
    generate: (prompt, options = {}) => generate(session, promptOf(prompt), options),
    countTokens: async (prompt) => {
      const base = session.state.base?.path;
      if (base === undefined) throw noBase();
      return (await engine.request("countTokens", { base, prompt: promptOf(prompt) })).count;
    },
    onDidChange: (listener) => session.onDidChange(() => listener()),
  };
}

function generate(
  session: Graft["session"],
  prompt: Prompt,
  options: GraftOptions,
): GraftGeneration {
  const aborter = new AbortController();
  const signal = AbortSignal.any([aborter.signal, ...(options.signal ? [options.signal] : [])]);
  let text = "";
  let wake = (): void => undefined;
  const ended = { value: false };
  const run = async (): Promise<GraftAnswer> => {
    needTrust();
    if (!session.state.base) throw noBase();
    const { adapters } = options;
    const answer = await session.generate(
      {
        prompt,
        sampling: samplingOf(options),
        ...(adapters && { adapters: adapters.map(({ name, weight = 1 }) => ({ name, weight })) }),
      },
      {
        onEvent: (event) => {
          ({ text } = event);
          options.onText?.(text);
          wake();
        },
        signal,
      },
    );
    ({ text } = answer);
    const { finish, tokens, promptTokens, tokensPerSecond, seed } = answer;
    return { text, finish, tokens, promptTokens, tokensPerSecond, seed };
  };
  const result = run().finally(() => {
    ended.value = true;
    wake();
  });
  // Whoever iterates meets the error there.
  result.catch(() => undefined);
  async function* pieces(): AsyncGenerator<string> {
    let told = 0;
    try {
      while (!ended.value || told < text.length) {
        if (told < text.length) {
          const piece = text.slice(told);
          told = text.length;
          yield piece;
        } else await new Promise<void>((done) => (wake = done));
      }
      await result;
    } finally {
      if (!ended.value) aborter.abort();
    }
  }
  return { result, [Symbol.asyncIterator]: pieces };
}

function samplingOf(options: GraftOptions): Sampling {
  const own = samplingSettings();
  const { stop, jsonSchema } = options;
  return {
    maxNewTokens: options.maxNewTokens ?? own.maxNewTokens,
    temperature: options.temperature ?? own.temperature,
    topP: options.topP ?? own.topP,
    topK: options.topK ?? own.topK,
    repetitionPenalty: options.repetitionPenalty ?? own.repetitionPenalty,
    seed: options.seed ?? own.seed,
    ...(stop && { stop: [...stop] }),
    ...(jsonSchema !== undefined && { jsonSchema }),
  };
}

function promptOf(prompt: string | readonly GraftMessage[]): Prompt {
  return typeof prompt === "string"
    ? { kind: "text", text: prompt }
    : { kind: "chat", messages: [...prompt] };
}

function modelOf({ path, name, contextLength, hasChatTemplate }: BaseModelInfo): {
  path: string;
  name: string;
  contextLength: number;
  hasChatTemplate: boolean;
} {
  return { path, name, contextLength, hasChatTemplate };
}

function adapterOf({ name, path, method }: AdapterInfo): {
  name: string;
  path: string;
  method: string;
} {
  return { name, path, method };
}

function noBase(): HostError {
  return new HostError(
    "not-found",
    vscode.l10n.t("No base model is loaded. Load one with loadModel, or in the Graft view."),
  );
}

function needTrust(): void {
  if (vscode.workspace.isTrusted) return;
  throw new HostError(
    "unsupported",
    vscode.l10n.t("Models are not run in a window that is not trusted. Trust the workspace first."),
  );
}
