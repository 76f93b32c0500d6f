import { existsSync } from "node:fs";
import * as path from "node:path";
import { loadBaseModel } from "../core/baseModel.ts";
import { PeftModel } from "../core/peftModel.ts";
import type { LoadedAdapter } from "../core/loadAdapter.ts";

const adapters = ["lora-pirate", "lora-json", "lora-sentiment"];
const prompts = ["What colour is the sky?", "The cake was wonderful.", "Describe a cat."];

/** The whole job on the built-in sample: base, three adapters, the same prompts for each. */
export async function demo(_args: string[], signal: AbortSignal): Promise<void> {
  const print = (line: string): void => void process.stdout.write(`${line}\n`);
  const sample = sampleFolder();
  const base = await loadBaseModel(path.join(sample, "base"), { signal });
  const { checkpoint, session } = base;
  print(
    `${checkpoint.name}: ${checkpoint.config.modelType}, ${session.model.layers} layers, ` +
      `${checkpoint.parameters.toLocaleString("en")} parameters, loaded in ${milliseconds(base.loadSeconds)}`,
  );
  const model = new PeftModel(base);
  for (const name of adapters) {
    const folder = path.join(sample, "adapters", name);
    print(describe(await model.loadAdapter(folder, { adapterName: name, signal })));
  }
  await model.answer({ kind: "text", text: "warm" }, { maxNewTokens: 2, signal });
  for (const content of prompts) {
    print(`\n> ${content}`);
    for (const name of [null, ...adapters]) {
      const started = performance.now();
      model.setAdapter(name === null ? [] : [name]);
      const swap = (performance.now() - started) / 1000;
      await stream(model, { name: name ?? "base", content, swap, signal });
      if (signal.aborted) return;
    }
  }
}

function describe({ name, report, weights, attachSeconds }: LoadedAdapter): string {
  return (
    `${name}: ${report.bound.length} of ${report.total} modules bound, ` +
    `${weights.parameters.toLocaleString("en")} parameters, attached in ${milliseconds(attachSeconds)}`
  );
}

async function stream(
  model: PeftModel,
  {
    name,
    content,
    swap,
    signal,
  }: { name: string; content: string; swap: number; signal: AbortSignal },
): Promise<void> {
  process.stdout.write(`${name.padEnd(15)} `);
  let shown = 0;
  const answer = await model.answer(
    { kind: "chat", messages: [{ role: "user", content }] },
    {
      maxNewTokens: 120,
      signal,
      onText: (text) => {
        process.stdout.write(text.slice(shown));
        shown = text.length;
      },
    },
  );
  const speed = Math.round(answer.tokensPerSecond);
  process.stdout.write(
    `${answer.text.slice(shown)}   (swap ${milliseconds(swap)}, ${speed} tokens/s)\n`,
  );
}

function milliseconds(seconds: number): string {
  return `${(seconds * 1000).toFixed(1)} ms`;
}

/** media/sample beside the bundle's folder, or beside this source when it runs unbundled. */
function sampleFolder(): string {
  const start = path.dirname(process.argv[1] ?? "");
  const candidates = [path.join(start, "../media/sample"), path.join(start, "../../media/sample")];
  return candidates.find((candidate) => existsSync(candidate)) ?? path.join("media", "sample");
}
