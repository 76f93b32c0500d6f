import * as path from "node:path";
import {
  type BaseModel,
  type LoadBaseModelOptions,
  loadBaseModel,
} from "../../extension/core/baseModel.ts";
import { PeftModel } from "../../extension/core/peftModel.ts";
import type { BaseInputs } from "../../extension/core/baseSession.ts";
import type { AdapterInputs } from "../../extension/core/session/adapterInputs.ts";
import type { DecodingSession } from "../../extension/core/session/decodingSession.ts";
import type { PixelBatch } from "../../extension/core/session/runningSession.ts";
import { argmax } from "../../extension/core/tokens/sampler.ts";

/** Bases that cases share, each loaded once. */
export class Bases {
  private readonly open = new Map<string, Promise<BaseModel>>();

  constructor(private readonly root: string) {}

  /** A fresh PeftModel over a shared base, e.g. "models/llama". */
  async model(name: string, options: LoadBaseModelOptions = {}): Promise<PeftModel> {
    const folder = path.join(this.root, name);
    const key = JSON.stringify([folder, options]);
    // Activations in 8 bits would hide errors of the size that truths are compared to.
    const base = this.open.get(key) ?? loadBaseModel(folder, { accuracyLevel: 0, ...options });
    this.open.set(key, base);
    return new PeftModel(await base);
  }

  async dispose(): Promise<void> {
    for (const base of this.open.values()) {
      await base.then(
        ({ session }) => session.dispose(),
        () => undefined,
      );
    }
  }
}

/** What a case asks a model: rows of tokens, or images. */
export interface CaseBatch {
  readonly ids: number[][];
  readonly mask: number[][];
  readonly tokenTypes?: number[][] | undefined;
  readonly pixels?: PixelBatch | undefined;
  /** Answers so far, where an encoder reads `ids`. */
  readonly decoderIds?: number[][] | undefined;
}

/** What the model's head says in one pass: a language model's logits of every position. */
export async function allLogits(
  { base: { session } }: PeftModel,
  adapters: BaseInputs,
  { ids, mask, tokenTypes, pixels, decoderIds }: CaseBatch,
): Promise<Float32Array> {
  const attentionMask = mask.map((row) => Uint8Array.from(row));
  const tokens = { kind: "tokens", ids, attentionMask, tokenTypes, decoderIds } as const;
  return (await session.predict(pixels ?? tokens, adapters)).data;
}

/** Greedy continuation of a batch through the cache, `count` tokens a row. */
export async function greedyTokens(
  { base: { session } }: PeftModel,
  adapters: BaseInputs,
  { ids, mask, count }: { ids: number[][]; mask?: number[][]; count: number },
): Promise<number[][]> {
  return session.with(adapters, (running) =>
    continueGreedily(running, adapters, { ids, mask, count }),
  );
}

/** The same with the whole sequence run anew for every token; rows of one length. */
export async function greedyWithoutCache(
  model: PeftModel,
  adapters: BaseInputs,
  { ids, count }: { ids: number[][]; count: number },
): Promise<number[][]> {
  const out: number[][] = ids.map(() => []);
  for (let step = 0; step < count; step++) {
    const sequences = ids.map((row, i) => [...row, ...(out[i] as number[])]);
    const next = await greedyTokens(model, adapters, { ids: sequences, count: 1 });
    out.forEach((row, i) => row.push((next[i] as [number])[0]));
  }
  return out;
}

async function continueGreedily(
  session: DecodingSession,
  adapters: AdapterInputs,
  { ids, mask, count }: { ids: number[][]; mask?: number[][]; count: number },
): Promise<number[][]> {
  const state = session.start(adapters, ids.length);
  const attentionMask = mask?.map((row) => Uint8Array.from(row));
  let logits = await session.forward(state, ids, { attentionMask });
  const out: number[][] = ids.map(() => []);
  for (let step = 0; step < count; step++) {
    const [, , vocabulary] = logits.shape;
    out.forEach((row, i) =>
      row.push(argmax(logits.data.subarray(i * vocabulary, (i + 1) * vocabulary))),
    );
    if (step + 1 === count) break;
    logits = await session.forward(
      state,
      out.map((row) => row.slice(-1)),
    );
  }
  return out;
}
