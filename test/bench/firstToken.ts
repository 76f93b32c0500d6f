// From the key that sends a prompt to the first text of its answer on the screen, in a real VS Code with the packed
// extension: `npm run bench:first-token -- [ROUNDS]`, of the sample and, where it was made, of SmolLM2-135M
// (`node --import tsx test/bench/makeRandomModel.ts smollm2-135m fp32`). Parts are told by times noted where a
// message passes from one process to the next (seams/). Recorded in test/bench/results, never a gate.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import type { Frame } from "playwright-core";
import { openVSCode, until, type VSCode } from "../e2e/harness.ts";
import { root } from "../unit/core/support.ts";
import { type Summary, summarize } from "./statistics.ts";

const rounds = Number(process.argv[2] ?? 12);

/** What passes between two notes, in the order of an answer. */
const parts = [
  ["page: key", "pressed", "sent"],
  ["page → host", "sent", "host asked"],
  ["host → engine", "host asked", "engine asked"],
  ["engine: prompt to tokens", "engine asked", "run began"],
  ["engine: reading the prompt", "run began", "run ended"],
  ["engine: first token", "run ended", "engine told"],
  ["engine → host", "engine told", "host told"],
  ["host → page", "host told", "told"],
  ["page: text", "told", "written"],
  ["page: paint", "written", "painted"],
] as const;

interface Note {
  readonly name: string;
  readonly at: number;
}

/** Milliseconds of each part, and of all. */
type Took = Readonly<Record<string, number>>;

interface Base {
  readonly name: string;
  readonly prepare: (workspace: string) => void;
}

const random = path.join(root, ".cache/models/smollm2-135m-fp32");
const bases: readonly Base[] = [
  { name: "graft-sample", prepare: () => undefined },
  ...(existsSync(random) ? [{ name: "smollm2-135m", prepare: linkRandomModel }] : []),
];

const results: Record<string, { first: Took; rounds: Record<string, Summary> }> = {};
for (const base of bases) {
  const result = (results[base.name] = await measure(base));
  console.log(table(base.name, result));
  save();
}

async function measure({ name, prepare }: Base): Promise<(typeof results)[string]> {
  const seams = path.join(os.tmpdir(), `graft-seams-${process.pid}-${name}`);
  mkdirSync(seams, { recursive: true });
  const vscode = await openVSCode({
    environment: () => ({ GRAFT_SEAMS: seams }),
    beside: [path.join(import.meta.dirname, "seams")],
  });
  try {
    prepare(vscode.folders.workspace);
    const page = await openPlayground(vscode, name);
    const took: Took[] = [];
    for (let round = 0; round <= rounds; round++) {
      const own = await ask(page, { seams, round });
      took.push(own);
      console.log(`${name} ${round}: ${own["all"]?.toFixed(1)} ms`);
    }
    const [first = {}, ...others] = took;
    const names = Object.keys(first);
    const summaries = names.map((part) => [part, summarize(others.map((own) => own[part] ?? NaN))]);
    return { first, rounds: Object.fromEntries(summaries) as Record<string, Summary> };
  } catch (error) {
    await vscode.explain(`first token ${name}`);
    throw error;
  } finally {
    await vscode.dispose();
    rmSync(seams, { recursive: true, force: true });
  }
}

async function openPlayground(vscode: VSCode, base: string): Promise<Frame> {
  await vscode.openGraft();
  // One that began before the extension that notes is not noted.
  const before = await vscode.enginePid();
  await vscode.runCommand("Graft: Restart Engine");
  await until("another engine runs", async () => (await vscode.enginePid()) !== before);
  await vscode.runCommand("Graft: Refresh");
  await until(`${base} is loaded`, async () => {
    await vscode.clickRow("Base Models", base);
    return until(
      "the status bar names it",
      async () => (await vscode.statusBarText()).includes(base),
      20,
    );
  });
  await vscode.runCommand("Graft: Open Playground");
  const page = await vscode.webviewFrame("#prompt");
  await page.evaluate(readFileSync(path.join(import.meta.dirname, "seams/page.cjs"), "utf8"));
  return page;
}

async function ask(page: Frame, { seams, round }: { seams: string; round: number }): Promise<Took> {
  const takeNotes = (): Promise<Note[]> => page.evaluate<Note[]>("takeNotes()");
  await takeNotes();
  const begun = Date.now();
  // Another one each time: what was read before is not read again.
  await page.locator("#prompt textarea").fill(`${round} of these: what colour is the sky?`);
  await page.locator("#prompt textarea").press("Enter");
  const inPage: Note[] = [];
  await until("an answer is painted", async () => {
    inPage.push(...(await takeNotes()));
    return inPage.some(({ name }) => name === "painted");
  });
  await page
    .locator("#stop")
    .click({ timeout: 500 })
    .catch(() => undefined);
  await until("the answer has ended", () => page.locator("#stop").isHidden());
  await page.locator("#clear").click();
  const processes = ["host asked", "host told", "engine told"];
  const noted = await until("host and engine have written their notes", () => {
    const notes = notesIn(seams, begun);
    return processes.every((name) => notes.some((note) => note.name === name)) && notes;
  });
  return partsOf([...inPage, ...noted]);
}

function notesIn(folder: string, since: number): Note[] {
  return readdirSync(folder)
    .flatMap((file) => readFileSync(path.join(folder, file), "utf8").split("\n"))
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Note)
    .filter(({ at }) => at >= since);
}

function partsOf(notes: readonly Note[]): Took {
  const told = timeOf(notes, "engine told");
  const lastRun = notes.filter(({ name, at }) => name === "run ended" && at <= told).at(-1)?.at;
  const at = (name: string): number =>
    name === "run ended" ? (lastRun ?? NaN) : timeOf(notes, name);
  const took = parts.map(([part, from, to]) => [part, at(to) - at(from)] as const);
  return { ...Object.fromEntries(took), all: at("painted") - at("pressed") };
}

function timeOf(notes: readonly Note[], name: string): number {
  return Math.min(...notes.filter((note) => note.name === name).map(({ at }) => at));
}

/** The random model with tokens of its vocabulary's size, each a word, so that any answer is text. */
function linkRandomModel(workspace: string): void {
  const folder = path.join(workspace, "smollm2-135m");
  mkdirSync(folder, { recursive: true });
  for (const file of ["config.json", "model.safetensors"]) {
    symlinkSync(path.join(random, file), path.join(folder, file));
  }
  const letters = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i));
  const word = (id: number): string => `Ġ${id.toString(36)}`;
  const pieces = [...letters, "Ġ", ...Array.from({ length: 49_152 - 95 }, (_, id) => word(id))];
  const tokenizer = {
    ...{ version: "1.0", added_tokens: [], normalizer: null, post_processor: null },
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
    decoder: { type: "ByteLevel" },
    model: {
      type: "BPE",
      vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])),
      merges: [],
    },
  };
  writeFileSync(path.join(folder, "tokenizer.json"), JSON.stringify(tokenizer));
  const settings = { chat_template: "{% for m in messages %}{{ m['content'] }}{% endfor %}" };
  writeFileSync(path.join(folder, "tokenizer_config.json"), JSON.stringify(settings));
}

function save(): void {
  const machine = {
    ...{ cpu: os.cpus()[0]?.model, cores: os.availableParallelism(), load: os.loadavg() },
  };
  const file = path.join(root, "test/bench/results/first-token.json");
  const record = { date: new Date().toISOString(), machine, milliseconds: results };
  writeFileSync(file, `${JSON.stringify(record, null, 2)}\n`);
}

function table(name: string, { first, rounds: of }: (typeof results)[string]): string {
  const ms = (value: number | undefined): string => (value ?? NaN).toFixed(1);
  const rows = Object.entries(of).map(
    ([part, { median, min }]) => `| ${part} | ${ms(median)} | ${ms(min)} | ${ms(first[part])} |`,
  );
  return [`| ${name}, ms | median | min | first |`, "| --- | --- | --- | --- |", ...rows].join(
    "\n",
  );
}
