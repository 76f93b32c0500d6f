// `npm run bench:quality -- [smollm2-135m]`: what rounding to 4 and 8 bits does to answers, beside llama.cpp's q4_0
// and q8_0. Every format's values are written as fp32 and run as such, so that only rounding of weights differs.
// Without a name the sample model reads its own answers; a random-weight model reads random tokens.
import { readFileSync } from "node:fs";
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { loadBaseModel } from "../../extension/core/baseModel.ts";
import { PeftModel } from "../../extension/core/peftModel.ts";
import { emptyRows, packRows, unpackRows } from "../../extension/core/quant/nBits.ts";
import { openSafetensors } from "../../extension/core/safetensors/read.ts";
import { fixtures, root, sample } from "../unit/core/support.ts";
import { makeRandomModel } from "./makeRandomModel.ts";

type Round = (values: Float32Array, columns: number) => Float32Array;

const half = new Float32Array(1);

/** A scale as fp16 keeps it; scales are never so small that it would be subnormal there. */
function toHalf(value: number): number {
  half[0] = value;
  const unit = 2 ** (Math.floor(Math.log2(Math.abs(half[0]))) - 10);
  return value === 0 ? 0 : Math.round(value / unit) * unit;
}

/** ggml's quantize_row_q4_0_ref and quantize_row_q8_0_ref: blocks of 32, one fp16 scale. */
function ggml(bits: 4 | 8): Round {
  return (values) => {
    const out = new Float32Array(values.length);
    for (let start = 0; start < values.length; start += 32) {
      const block = values.subarray(start, start + 32);
      const most = block.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
      const scale = bits === 4 ? most / -8 : Math.abs(most) / 127;
      const kept = toHalf(scale);
      block.forEach((value, i) => {
        const steps = scale === 0 ? 0 : value / scale;
        const code = bits === 4 ? Math.min(15, Math.trunc(steps + 8.5)) - 8 : Math.round(steps);
        out[start + i] = code * kept;
      });
    }
    return out;
  };
}

function own(bits: 4 | 8, blockSize: number): Round {
  return (values, columns) => {
    const layout = { bits, blockSize, columns };
    const rows = emptyRows(layout, values.length / columns);
    packRows(values, layout, rows);
    return unpackRows(rows, layout);
  };
}

const formats: readonly [name: string, bits: number, round: Round | null][] = [
  ["fp32", 32, null],
  ["q4_0", 4.5, ggml(4)],
  ...[32, 64, 128].map((size) => [`int4, ${size}`, 4 + 32 / size, own(4, size)] as const),
  ["q8_0", 8.5, ggml(8)],
  ...[32, 64, 128].map((size) => [`int8, ${size}`, 8 + 32 / size, own(8, size)] as const),
].map(([name, bits, round]) => [name, bits, round] as [string, number, Round | null]);

interface Run {
  readonly logits: readonly Float32Array[];
  readonly vocabulary: number;
}

const name = process.argv[2];
const source = name === undefined ? path.join(sample, "base") : await makeRandomModel(name, "fp32");
const sequences = name === undefined ? await ownAnswers() : randomTokens();
const copy = path.join(root, ".cache/bench/quality");

let truth: Run | null = null;
console.log(
  "| format | bits a weight | error of weights | KL, nats | perplexity | same first token |",
);
for (const [label, bits, round] of formats) {
  await rm(copy, { recursive: true, force: true });
  await cp(source, copy, { recursive: true });
  const error = round ? await roundWeights(path.join(copy, "model.safetensors"), round) : 0;
  const run = await logitsOf(copy);
  truth ??= run;
  const { kl, perplexity, same } = compare(truth, run);
  const cells = [label, bits, error.toFixed(4), kl.toFixed(5), perplexity.toFixed(4), `${(100 * same).toFixed(1)} %`]; // prettier-ignore
  console.log(`| ${cells.join(" | ")} |`);
}
await rm(copy, { recursive: true, force: true });

/** Rounds linear layers in place. @returns root mean square of the difference, as a share of the weights' */
async function roundWeights(file: string, round: Round): Promise<number> {
  const bytes = await readFile(file);
  const { tensors } = await openSafetensors(file);
  let [lost, total] = [0, 0];
  for (const { name: tensor, offset, byteLength, shape } of tensors) {
    if (!tensor.endsWith("_proj.weight")) continue;
    const values = new Float32Array(
      bytes.buffer.slice(bytes.byteOffset + offset, bytes.byteOffset + offset + byteLength),
    );
    const rounded = round(values, shape[1] as number);
    values.forEach((value, i) => {
      lost += (value - (rounded[i] as number)) ** 2;
      total += value * value;
    });
    bytes.set(new Uint8Array(rounded.buffer), offset);
  }
  await writeFile(file, bytes);
  return Math.sqrt(lost / total);
}

async function logitsOf(folder: string): Promise<Run> {
  const model = new PeftModel(await loadBaseModel(folder, { memory: "mapped" }));
  const logits: Float32Array[] = [];
  let vocabulary = 0;
  await model.base.session.with(model.currentInputs, async (session) => {
    for (const ids of sequences) {
      const state = session.start(model.currentInputs);
      const made = await session.forward(state, [ids], { logitsRows: ids.map((_, i) => i) });
      logits.push(Float32Array.from(made.data));
      vocabulary = made.shape[2];
    }
  });
  await model.dispose();
  return { logits, vocabulary };
}

function compare(a: Run, b: Run): { kl: number; perplexity: number; same: number } {
  let [kl, count, nll, scored, same] = [0, 0, 0, 0, 0];
  sequences.forEach((ids, s) => {
    ids.forEach((_, i) => {
      const row = ({ logits, vocabulary }: Run): Float32Array =>
        logProbabilities(
          (logits[s] as Float32Array).subarray(i * vocabulary, (i + 1) * vocabulary),
        );
      const [p, q] = [row(a), row(b)];
      kl += p.reduce((sum, each, k) => sum + Math.exp(each) * (each - (q[k] as number)), 0);
      same += Number(p.indexOf(Math.max(...p)) === q.indexOf(Math.max(...q)));
      count++;
      const next = ids[i + 1];
      if (next === undefined) return;
      nll -= q[next] as number;
      scored++;
    });
  });
  return { kl: kl / count, perplexity: Math.exp(nll / scored), same: same / count };
}

function logProbabilities(logits: Float32Array): Float32Array {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = logits.reduce((all, each) => all + Math.exp(each - most), 0);
  return logits.map((each) => each - most - Math.log(sum));
}

/** What the sample model and its adapters were found to answer when they were made. */
async function ownAnswers(): Promise<number[][]> {
  const texts: string[] = [];
  const collect = (value: unknown): void => {
    if (typeof value === "string" && value.length > 20 && !/[{}\\/]/.test(value)) texts.push(value);
    else if (typeof value === "object" && value !== null) Object.values(value).forEach(collect);
  };
  collect(JSON.parse(readFileSync(path.join(fixtures, "sample/outputs.json"), "utf8")));
  const base = await loadBaseModel(source);
  const { tokenizer } = base;
  await base.session.dispose();
  return texts.map((text) => tokenizer?.encode(text) ?? []).filter(({ length }) => length > 4);
}

function randomTokens(): number[][] {
  let state = 7;
  const next = (): number => (state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff);
  return Array.from({ length: 3 }, () => Array.from({ length: 96 }, () => 5 + (next() % 40000)));
}
