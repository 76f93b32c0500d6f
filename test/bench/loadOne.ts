// One row of the load benchmark in a process of its own: loads a folder, runs it, prints JSON.
import { mkdir, stat, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { type BaseModel, loadBaseModel } from "../../extension/core/baseModel.ts";
import type { BaseInputs } from "../../extension/core/baseSession.ts";
import { estimateMemory } from "../../extension/core/memoryEstimate.ts";
import { PeftModel } from "../../extension/core/peftModel.ts";
import { type TensorData, writeSafetensors } from "../../extension/core/safetensors/write.ts";
import type { LoadRequest, LoadResult } from "./loadRow.ts";
import { promptPart } from "../../extension/core/tokens/promptParts.ts";
import { processMemory } from "./processMemory.ts";

const request = JSON.parse(process.argv[2] as string) as LoadRequest;
const rank = 16;
const context = 128;
const prompt = 256;

process.stdout.write(`${JSON.stringify(await measure(request))}\n`);

async function measure({ folder, options, adapter }: LoadRequest): Promise<LoadResult> {
  const before = processMemory();
  const steps = new Map<string, number>();
  let step = { name: "", started: performance.now() };
  const endStep = (name: string): void => {
    const spent = (performance.now() - step.started) / 1000;
    if (step.name !== "") steps.set(step.name, (steps.get(step.name) ?? 0) + spent);
    step = { name, started: performance.now() };
  };
  const base = await loadBaseModel(folder, {
    ...options,
    onProgress: ({ step: name }) => {
      if (name !== step.name) endStep(name);
    },
  });
  endStep("");
  const loaded = processMemory();
  const model = await PeftModel.fromPretrained(base, await randomAdapter(base, adapter));
  const plain = await speed(base, model.inputsOf([]));
  const adapted = await speed(base, model.inputsOf([{ name: "default", weight: 1 }]));
  const after = processMemory();
  await model.dispose();
  return {
    seconds: base.loadSeconds,
    steps: Object.fromEntries(steps),
    before,
    loaded,
    after,
    plain,
    adapted,
    estimate: estimateMemory(
      { checkpoint: base.checkpoint, base: base.adaptable },
      {
        mapped: options.memory === "mapped",
        contextLength: prompt,
        adapters: (await stat(path.join(adapter, "adapter_model.safetensors"))).size,
      },
    ),
  };
}

/** Tokens per second: a prompt of 256, and one token at a time after 128. */
async function speed(
  { session }: BaseModel,
  inputs: BaseInputs,
): Promise<{ prefill: number; decode: number }> {
  const ids = (count: number): number[] => Array.from({ length: count }, (_, i) => 5 + (i % 90));
  return session.with(inputs, async (running) => {
    const prefills: number[] = [];
    for (let i = 0; i < 2; i++) {
      const started = performance.now();
      const state = running.start(inputs);
      // In parts, as prompts of answers are read.
      for (let read = 0; read < prompt; read += promptPart) {
        await running.forward(state, [ids(promptPart)]);
      }
      prefills.push(performance.now() - started);
    }
    const state = running.start(inputs);
    await running.forward(state, [ids(context)]);
    const steps: number[] = [];
    for (let i = 0; i < 17; i++) {
      const started = performance.now();
      await running.forward(state, [[7 + i]]);
      if (i > 0) steps.push(performance.now() - started);
    }
    steps.sort((a, b) => a - b);
    const median = steps[Math.floor(steps.length / 2)] as number;
    return { prefill: (prompt * 1000) / Math.min(...prefills), decode: 1000 / median };
  });
}

/** A LoRA of rank 16 on every linear layer but the head. */
async function randomAdapter({ adaptable }: BaseModel, folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const tensors: TensorData[] = [];
  const targets = new Set<string>();
  for (const module of adaptable.tree.modules) {
    if (module.kind !== "linear" || module.path === adaptable.tree.outputEmbedding) continue;
    targets.add(module.path.split(".").at(-1) as string);
    const factor = (key: string, shape: [number, number]): TensorData => {
      const values = Float32Array.from(
        { length: shape[0] * shape[1] },
        (_, i) => (((i * 2654435761) % 1000) - 500) / 50000,
      );
      const bytes = new Uint8Array(values.buffer);
      return { name: `base_model.model.${module.path}.${key}.weight`, dtype: "F32", shape, bytes };
    };
    tensors.push(factor("lora_A", [rank, module.in]), factor("lora_B", [module.out, rank]));
  }
  await writeSafetensors(path.join(folder, "adapter_model.safetensors"), tensors);
  const config = {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    r: rank,
    lora_alpha: rank,
    target_modules: [...targets],
    base_model_name_or_path: "",
  };
  await writeFile(path.join(folder, "adapter_config.json"), JSON.stringify(config));
  return folder;
}
