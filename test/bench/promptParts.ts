// What reading a prompt in parts costs: `node --import tsx test/bench/promptParts.ts qwen2.5-0.5b int4`.
// Parts of each size in turn after 128 tokens, best and median milliseconds, and the share that is lost
// against the largest by reading in such parts.
import { loadBaseModel, type LoadBaseModelOptions } from "../../extension/core/baseModel.ts";
import { PeftModel } from "../../extension/core/peftModel.ts";
import { rewind } from "../../extension/core/session/rewind.ts";
import { makeRandomModel } from "./makeRandomModel.ts";

const [name = "qwen2.5-0.5b", precision = "int4", list = "16,32,64,128,256"] =
  process.argv.slice(2);
const sizes = list.split(",").map(Number);
const rounds = 3;
const ids = (count: number): number[] => Array.from({ length: count }, (_, i) => 5 + i);

const base = await loadBaseModel(await makeRandomModel(name, "bf16"), {
  precision: precision as NonNullable<LoadBaseModelOptions["precision"]>,
});
const model = new PeftModel(base);
const inputs = model.inputsOf([]);
await base.session.with(inputs, async (session) => {
  const state = session.start(inputs);
  await session.forward(state, [ids(128)]);
  const times = new Map<number, number[]>(sizes.map((size) => [size, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const [size, own] of times) {
      const started = performance.now();
      await session.forward(state, [ids(size)]);
      // The first of each warms up.
      if (round > 0) own.push(performance.now() - started);
      rewind(state, size);
    }
  }
  const perToken = (size: number): number => Math.min(...(times.get(size) ?? [])) / size;
  const best = Math.min(...sizes.map(perToken));
  for (const [size, own] of times) {
    const median = own.sort((a, b) => a - b)[own.length >> 1] ?? 0;
    const lost = Math.round(100 * (perToken(size) / best - 1));
    console.log(
      `${name} ${precision} ${size}: ${own[0]?.toFixed(0)} ms best, ${median.toFixed(0)} median, ${lost} % lost`,
    );
  }
});
await model.dispose();
