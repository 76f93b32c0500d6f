import { rm } from "node:fs/promises";
import * as path from "node:path";
import { type BaseModel, loadBaseModel } from "../../core/baseModel.ts";
import { PeftModel } from "../../core/peftModel.ts";
import type { TrainingRun } from "../../core/trainAdapter.ts";
import type { Precision } from "../../core/quant/plan.ts";
import type { RunConfig } from "../../protocol/trainingContract.ts";

const maxNewTokens = 64;

export interface SampleAnswer {
  prompt: string;
  base: string;
  adapter: string;
}

/**
 * Answers of base and adapter to a run's sample prompts. They run as any adapter runs: what is trained
 * is written down and loaded onto a base of its own, whose weights are mapped from their files.
 */
export class Samples {
  private base: BaseModel | undefined;
  private readonly ofBase = new Map<string, string>();

  constructor(
    private readonly config: RunConfig,
    private readonly at: {
      readonly scratch: string;
      readonly signal: AbortSignal;
      readonly quantCacheDir?: string | undefined;
    },
  ) {}

  async answer(run: TrainingRun): Promise<SampleAnswer[]> {
    const { signal, scratch } = this.at;
    const folder = path.join(scratch, "adapter");
    await run.saveAdapter(folder);
    const base = (this.base ??= await this.load(run.baseFolder));
    const model = await PeftModel.fromPretrained(base, folder, { signal });
    try {
      const answers: SampleAnswer[] = [];
      for (const prompt of this.config.samplePrompts) {
        const ask = async (adapters: { name: string; weight: number }[]): Promise<string> => {
          const messages = [{ role: "user" as const, content: prompt }];
          const wish = base.tokenizer?.chatTemplate
            ? ({ kind: "chat", messages } as const)
            : ({ kind: "text", text: prompt } as const);
          return (await model.answer(wish, { adapters, maxNewTokens, signal })).text;
        };
        const known = this.ofBase.get(prompt) ?? (await ask([]));
        this.ofBase.set(prompt, known);
        const own = await ask([{ name: "default", weight: 1 }]);
        answers.push({ prompt, base: known, adapter: own });
      }
      return answers;
    } finally {
      model.deleteAdapter("default");
      await rm(folder, { recursive: true, force: true });
    }
  }

  async dispose(): Promise<void> {
    await this.base?.session.dispose();
  }

  private load(folder: string): Promise<BaseModel> {
    const precision = (this.config.dtype ?? "auto") as Precision;
    const { signal, quantCacheDir } = this.at;
    const kept = quantCacheDir === undefined ? {} : { quantCacheDir };
    return loadBaseModel(folder, { precision, memory: "mapped", signal, ...kept });
  }
}
