// Graft as its own engine uses it: loadBaseModel, PeftModel, generate; a step is what generate does a token.
import { loadBaseModel, type BaseModel } from "../../../extension/core/baseModel.ts";
import type { BaseInputs } from "../../../extension/core/baseSession.ts";
import { PeftModel } from "../../../extension/core/peftModel.ts";
import type { DecodingState, Logits } from "../../../extension/core/session/decodingState.ts";
import type { DecodingSession } from "../../../extension/core/session/decodingSession.ts";
import { runtimeLabel } from "../../../extension/core/session/ortSession.ts";
import { generate } from "../../../extension/core/tokens/generate.ts";
import { readInParts } from "../../../extension/core/tokens/promptParts.ts";
import { createSampler, greedy } from "../../../extension/core/tokens/sampler.ts";
import { inspectAdapter } from "../../../extension/engine/inspect.ts";
import type { Answer, Use } from "../protocol.ts";
import { type Asked, serve, timed } from "./serve.ts";

interface Sequence {
  readonly inputs: BaseInputs;
  readonly state: DecodingState;
  next: number[];
}

const nothing = new Set<number>();
const sampler = createSampler(greedy);
const sequences = new Map<string, Sequence>();
let base: BaseModel;
let model: PeftModel;
let attached = 0;
let script: readonly number[] = [];
let reciting: DecodingSession | null = null;
let files: Readonly<Record<string, string>> = {};

await serve({ load, start, steps, prefill, recite, attach, inspect, activate });

async function load({ model: folder, precision, threads, adapters, cache }: Asked<"load">) {
  const isQuantized = precision === "int8" || precision === "int4";
  const options = {
    threads,
    ...(isQuantized && { precision, quantCacheDir: cache }),
  } as const;
  const [loaded, milliseconds] = await timed(() => loadBaseModel(folder, options));
  base = loaded;
  model = new PeftModel(base);
  files = adapters;
  for (const [adapterName, each] of Object.entries(adapters)) {
    await model.loadAdapter(each, { adapterName });
  }
  // A 16-bit checkpoint is computed with in fp32.
  const wide = precision === "bf16" ? 2 : 1;
  const bytes = base.precision.bytes || wide * base.checkpoint.bytes;
  return { samples: [milliseconds], version: runtimeLabel, bytes };
}

function inputsOf({ adapters, rows }: Use): BaseInputs {
  return rows ? model.inputsOfRows(rows) : model.inputsOf(adapters);
}

async function start({ key, prompt, batch, use }: Asked<"start">): Promise<Answer> {
  const inputs = inputsOf(use);
  return base.session.with(inputs, async (running) => {
    const rows = Array.from({ length: batch }, () => prompt);
    const state = running.start(inputs, batch, rows);
    const read = (from: number, to: number): Promise<Logits> =>
      running.forward(
        state,
        rows.map((row) => row.slice(from, to)),
      );
    const size = { rows: batch, to: prompt.length };
    const how = { read, signal: undefined };
    const [{ data }, milliseconds] = await timed(() => readInParts(running, size, how));
    sequences.set(key, { inputs, state, next: likeliest(data, batch) });
    return { samples: [milliseconds] };
  });
}

async function steps({ key, count }: Asked<"steps">): Promise<Answer> {
  const own = sequences.get(key) as Sequence;
  return base.session.with(own.inputs, async (running) => {
    const samples: number[] = [];
    const ids: number[] = [];
    for (let i = 0; i < count; i++) {
      ids.push(own.next[0] as number);
      const started = performance.now();
      const { data } = await running.forward(
        own.state,
        own.next.map((id) => [id]),
      );
      own.next = likeliest(data, own.next.length);
      samples.push(performance.now() - started);
    }
    return { samples, ids };
  });
}

/** The next token of each row. */
function likeliest(logits: Float32Array, rows: number): number[] {
  const width = logits.length / rows;
  return Array.from({ length: rows }, (_, row) =>
    sampler.next(logits.subarray(row * width, (row + 1) * width), nothing),
  );
}

async function prefill({ prompt, use }: Asked<"prefill">): Promise<Answer> {
  const adapters = inputsOf(use);
  const options = { sampling: greedy, maxNewTokens: 1, stopTokens: new Set<number>() };
  const { ids, prefillSeconds } = await base.session.with(adapters, (running) =>
    generate(running, { prompt, adapters }, options),
  );
  return { samples: [1000 * prefillSeconds], ids };
}

async function recite({ prompt, text, isAhead, use }: Asked<"recite">): Promise<Answer> {
  const adapters = inputsOf(use);
  const options = {
    ...{ sampling: greedy, maxNewTokens: text.length, stopTokens: new Set<number>() },
    speculation: isAhead ? "auto" : "off",
  } as const;
  return base.session.with(adapters, async (running) => {
    const session = scripted(running);
    script = [...prompt, ...text];
    const { ids, decodeSeconds } = await generate(session, { prompt, adapters }, options);
    if (ids.some((id, i) => id !== text[i])) throw new Error("Graft said something else.");
    return { samples: [(1000 * decodeSeconds) / (ids.length - 1)] };
  });
}

/** A session whose passes cost what they cost, but whose likeliest token is the script's next. */
function scripted(running: DecodingSession): DecodingSession {
  reciting ??= Object.assign(Object.create(running) as DecodingSession, {
    forward: async (...[state, tokens, options]: Parameters<DecodingSession["forward"]>) => {
      const past = state.cache.length;
      const logits = await running.forward(state, tokens, options);
      const last = (tokens[0]?.length ?? 0) - 1;
      const [, , width] = logits.shape;
      (options?.logitsRows ?? [last]).forEach((place, row) => {
        const next = script[past + place + 1];
        if (next !== undefined) logits.data[row * width + next] = 1e9;
      });
      return logits;
    },
  });
  return reciting;
}

async function attach({ adapter }: Asked<"attach">): Promise<Answer> {
  const adapterName = `attached${attached++}`;
  const [, milliseconds] = await timed(async () => {
    await model.loadAdapter(files[adapter] as string, { adapterName });
    model.setAdapter(adapterName);
  });
  model.deleteAdapter(adapterName);
  return { samples: [milliseconds] };
}

async function inspect({ adapter }: Asked<"inspect">): Promise<Answer> {
  const [, milliseconds] = await timed(() => inspectAdapter(files[adapter] as string, model));
  return { samples: [milliseconds] };
}

async function activate({ use }: Asked<"activate">): Promise<Answer> {
  const [, milliseconds] = await timed(() => model.setAdapter(use.adapters));
  return { samples: [milliseconds] };
}
