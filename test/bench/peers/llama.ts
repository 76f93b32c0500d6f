// llama.cpp through node-llama-cpp, which bench.ts installs beside the caches: argv[2] is its folder.
import { mkdtemp, readFile, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { pathToFileURL } from "node:url";
import type { Answer, Use } from "../protocol.ts";
import { type Asked, serve, timed } from "./serve.ts";

/** What is used of node-llama-cpp's types; it is no package of this project. */
interface Sequence {
  evaluate(tokens: readonly number[], options: object): AsyncGenerator<number, void>;
  dispose(): Promise<void>;
}
interface Context {
  getSequence(): Sequence;
  dispose(): Promise<void>;
}
interface Model {
  createContext(options: object): Promise<Context>;
}
interface LlamaModule {
  getLlama(options: object): Promise<{ loadModel(options: object): Promise<Model> }>;
}

/** A batch is a sequence for each row in one context. */
interface Running {
  readonly answers: readonly AsyncGenerator<number, void>[];
  next: number;
}

const options = { temperature: 0, yieldEogToken: true };
const running = new Map<string, Running>();
const contexts = new Map<string, Promise<Context>>();
let files: Readonly<Record<string, string>> = {};
let threads = 0;
let model: Model;

await serve({ load, start, steps, prefill, attach });

async function load(ask: Asked<"load">): Promise<Answer> {
  const folder = path.join(process.argv[2] as string, "node_modules/node-llama-cpp");
  const entry = pathToFileURL(path.join(folder, "dist/index.js")).href;
  const { getLlama } = (await import(entry)) as LlamaModule;
  ({ adapters: files, threads } = ask);
  const llama = await getLlama({
    ...{ gpu: false, build: "never", logLevel: "error", progressLogs: false },
    ...(threads > 0 && { maxThreads: threads }),
  });
  const [loaded, milliseconds] = await timed(() => llama.loadModel({ modelPath: ask.model }));
  model = loaded;
  const manifest = await readFile(path.join(folder, "package.json"), "utf8");
  const version = `node-llama-cpp ${(JSON.parse(manifest) as { version: string }).version}`;
  return { samples: [milliseconds], version, bytes: (await stat(ask.model)).size };
}

function contextFor(use: Use, size: number, sequences = 1): Promise<Context> {
  if (use.rows) throw new Error("llama.cpp has one set of adapters for all rows of a batch.");
  const adapters = use.adapters.map(({ name, weight }) => ({
    filePath: files[name] as string,
    scale: weight,
  }));
  return model.createContext({
    contextSize: size,
    sequences,
    ignoreMemorySafetyChecks: true,
    ...(threads > 0 && { threads }),
    ...(adapters.length > 0 && { lora: { adapters } }),
  });
}

async function start({ key, prompt, batch, use }: Asked<"start">): Promise<Answer> {
  const context = await contextFor(use, prompt.length + 512, batch);
  const rows = Array.from({ length: batch }, () => context.getSequence());
  const answers = rows.map((sequence) => sequence.evaluate(prompt, options));
  const [next, milliseconds] = await timed(() => nextOf(answers));
  running.set(key, { answers, next });
  return { samples: [milliseconds] };
}

/** One token of each row; resolves to the first row's. */
async function nextOf(answers: readonly AsyncGenerator<number, void>[]): Promise<number> {
  const [first] = await Promise.all(answers.map((answer) => answer.next()));
  if (first === undefined || first.done) throw new Error("llama.cpp's answer has ended.");
  return first.value;
}

async function steps({ key, count }: Asked<"steps">): Promise<Answer> {
  const own = running.get(key) as Running;
  const samples: number[] = [];
  const ids: number[] = [];
  for (let i = 0; i < count; i++) {
    ids.push(own.next);
    const [next, milliseconds] = await timed(() => nextOf(own.answers));
    own.next = next;
    samples.push(milliseconds);
  }
  return { samples, ids };
}

async function prefill({ prompt, use }: Asked<"prefill">): Promise<Answer> {
  const key = JSON.stringify(use);
  if (!contexts.has(key)) contexts.set(key, contextFor(use, Math.max(prompt.length + 64, 2048)));
  const sequence = (await (contexts.get(key) as Promise<Context>)).getSequence();
  const [id, milliseconds] = await timed(() => nextOf([sequence.evaluate(prompt, options)]));
  await sequence.dispose();
  return { samples: [milliseconds], ids: [id] };
}

/** A context with an adapter that was not loaded yet; what a bare context takes is not the adapter's. */
async function attach({ adapter }: Asked<"attach">): Promise<Answer> {
  const [bare, without] = await timed(() => contextFor({ adapters: [] }, 256));
  await bare.dispose();
  // What was loaded once is kept by its path.
  const folder = await mkdtemp(path.join(tmpdir(), "graft-bench-"));
  const filePath = path.join(folder, "adapter.gguf");
  await symlink(files[adapter] as string, filePath);
  const lora = { adapters: [{ filePath }] };
  const create = (): Promise<Context> =>
    model.createContext({ contextSize: 256, ignoreMemorySafetyChecks: true, lora });
  const [context, milliseconds] = await timed(create);
  await context.dispose();
  await rm(folder, { recursive: true });
  return { samples: [Math.max(0, milliseconds - without)] };
}
