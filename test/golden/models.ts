import * as path from "node:path";
import {
  type BaseModel,
  type LoadBaseModelOptions,
  loadBaseModel,
} from "../../extension/core/baseModel.ts";
import { PeftModel } from "../../extension/core/peftModel.ts";
import type { BaseInputs } from "../../extension/core/baseSession.ts";
import type { AdapterInputs } from "../../extension/core/session/adapterInputs.ts";
import type { CausalSession } from "../../extension/core/session/causalSession.ts";
import { argmax } from "../../extension/core/tokens/sampler.ts";

/** Bases that cases share, each loaded once. */
export class Bases {
  private readonly open = new Map<string, Promise<BaseModel>>();

  constructor(private readonly root: string) {}

  /** A fresh PeftModel over a shared base, e.g. "models/llama". */
  async model(name: string, options: LoadBaseModelOptions = {}): Promise<PeftModel> {
    const folder = path.join(this.root, name);
    const key = JSON.stringify([folder, options]);
    const base = this.open.get(key) ?? loadBaseModel(folder, options);
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

/** Logits [batch, virtual tokens + seq, vocab] of every position in one pass. */
export async function allLogits(
  { base: { session } }: PeftModel,
  adapters: BaseInputs,
  { ids, mask }: { ids: readonly (readonly number[])[]; mask: readonly (readonly number[])[] },
): Promise<Float32Array> {
  const seq = ids[0]?.length ?? 0;
  return session.with(adapters, async (running) => {
    const { data } = await running.forward(running.start(adapters, ids.length), ids, {
      attentionMask: mask.map((row) => Uint8Array.from(row)),
      logitsRows: Array.from(
        { length: adapters.virtualTokens + seq },
        (_, i) => i - adapters.virtualTokens,
      ),
    });
    return data;
  });
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
  session: CausalSession,
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
