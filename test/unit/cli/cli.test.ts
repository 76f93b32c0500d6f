import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import * as path from "node:path";
import { after, test } from "node:test";
import { readArguments, readNumber, readWeighted } from "../../../extension/cli/arguments.ts";
import { failure, fixtures, sample, temporaryFolder } from "../core/support.ts";
import { bundle, bundleEnvironment } from "../engine/bundle.ts";

const weighted: [text: string, folder: string, weight: number][] = [
  ["dir", "dir", 1],
  ["dir:0.5", "dir", 0.5],
  ["dir:.5", "dir", 0.5],
  ["dir:-1", "dir", -1],
  ["dir:2", "dir", 2],
  ["dir:1e-2", "dir", 0.01],
  ["/a/b:0", "/a/b", 0],
  ["C:\\x", "C:\\x", 1],
  ["C:\\x:0.5", "C:\\x", 0.5],
  ["C:/models/1", "C:/models/1", 1],
  ["dir:half", "dir:half", 1],
  ["dir:", "dir:", 1],
  ["a:b:3", "a:b", 3],
];

for (const [text, folder, weight] of weighted) {
  test(`${text} is ${folder} at ${weight}`, () => {
    assert.deepEqual(readWeighted(text), { folder, weight });
  });
}

test("numbers are read whole, or refused by name", () => {
  assert.equal(readNumber("0.5", "top-p", 1), 0.5);
  assert.equal(readNumber(undefined, "top-p", 1), 1);
  for (const text of ["", " ", "half", "5x"]) {
    assert.throws(
      () => readNumber(text, "top-p", 1),
      failure("bad-request", `--top-p is "${text}"`),
    );
  }
});

test("an option that does not exist is a message", () => {
  const options = { base: { type: "string" } } as const;
  assert.throws(() => readArguments(["--bass", "x"], options), failure("bad-request", "--bass"));
});

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

const script = await bundle("extension/cli/main.ts", { after });

function graft(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { env: { ...bundleEnvironment, HF_HUB_OFFLINE: "1" } };
    execFile(process.execPath, [script, ...args], options, (error, stdout, stderr) => {
      resolve({ code: Number(error?.code ?? 0), stdout, stderr });
    });
  });
}

const base = path.join(sample, "base");
const adapter = (name: string): string => path.join(sample, "adapters", name);
const adapters = [adapter("lora-pirate"), `${adapter("lora-json")}:0`];
const named = adapters.flatMap((each) => ["--adapter", each]);
const prompt = ["--prompt", "What colour is the sky?"];

// All at once: starting Node is what takes time.
const [answered, failed, unknown] = await Promise.all([
  graft("run", "--base", base, ...named, ...prompt, "--json"),
  graft("run", "--base", "/none/such", ...prompt),
  graft("walk"),
]);

test("run --json answers with one object", () => {
  assert.deepEqual([answered.code, answered.stderr], [0, ""]);
  const { text, finish, ids, promptTokens, ...rest } = JSON.parse(answered.stdout) as {
    text: string;
    finish: string;
    adapters: { path: string; weight: number; bound: number; total: number }[];
    ids: number[];
    promptTokens: number;
  };
  assert.deepEqual([text, finish], ["Arr! Th' sky be blue, matey!", "stop"]);
  assert.deepEqual(
    rest.adapters.map(({ path: folder, weight, bound, total }) => [folder, weight, bound, total]),
    [
      [adapter("lora-pirate"), 1, 28, 28],
      [adapter("lora-json"), 0, 28, 28],
    ],
  );
  assert(ids.length > 5 && promptTokens > 5);
});

test("an error is one line on stderr and exit code 1", () => {
  assert.deepEqual([failed.code, failed.stdout], [1, ""]);
  assert.match(failed.stderr, /^Base model not found: \/none\/such\. .+\n$/);
  assert.equal(failed.stderr.trimEnd().split("\n").length, 1);
});

test("an unknown verb shows what there is", () => {
  assert.deepEqual([unknown.code, unknown.stdout], [2, ""]);
  assert.match(unknown.stderr, /^Usage:\n {2}graft run --base DIR/);
});

test("an adapter's folder stands for its base too, and --adapter needs none", async () => {
  const prompt = ["What colour is the sky?", "--json", "--max-tokens", "8"];
  const [alone, added, usual, named] = await Promise.all([
    graft("run", adapter("lora-pirate"), ...prompt),
    graft("run", "--adapter", adapter("lora-pirate"), ...prompt),
    graft("run", base, "--adapter", adapter("lora-pirate"), ...prompt),
    graft("run", "--base", base, adapter("lora-pirate"), ...prompt),
  ]);
  const texts = [alone, added, usual, named].map(({ stdout }) => (JSON.parse(stdout) as Json).text);
  assert.equal(new Set(texts).size, 1, texts.join("\n"));
  const nothing = await graft("run", "no/where", "Hi");
  assert.equal(nothing.code, 1);
  assert.match(nothing.stderr, /no\/where.*nor in the Hugging Face cache.*hf download no\/where/);
});

interface Json {
  text: string;
}

test("merge and save write folders that run, once", async (t) => {
  const folder = await temporaryFolder(t);
  const [merged, saved] = ["merged", "saved"].map((name) => path.join(folder, name)) as [
    string,
    string,
  ];
  const given = ["--base", base, "--adapter", adapter("lora-pirate")];
  const [merging, saving, incomplete] = await Promise.all([
    graft("merge", ...given, "--out", merged, "--json"),
    graft("save", ...given, "--out", saved),
    graft("merge", "--base", base, "--out", merged),
  ]);
  assert.deepEqual([merging.code, merging.stderr], [0, ""]);
  const result = JSON.parse(merging.stdout) as { folder: string; changedTensors: number };
  assert.deepEqual([result.folder, result.changedTensors], [merged, 28]);
  assert.deepEqual([saving.code, saving.stderr], [0, ""]);
  assert.equal(saving.stdout.split("\n")[0], path.join(saved, "adapter_config.json"));
  assert.deepEqual([incomplete.code, incomplete.stdout], [1, ""]);
  assert.match(incomplete.stderr, /--adapter/);
  const preview = await graft("merge", ...given, "--preview");
  assert.match(preview.stdout, /^28 tensors would change\nrounding would swallow .* loses little/);
  const answers = await Promise.all([
    graft("run", "--base", merged, ...prompt),
    graft("run", "--base", base, "--adapter", saved, ...prompt),
    graft("merge", ...given, "--out", merged),
  ]);
  const said = answers.map(({ stdout }) => stdout);
  assert.deepEqual(said, ["Arr! Th' sky be blue, matey!\n", "Arr! Th' sky be blue, matey!\n", ""]);
  assert.match(answers[2].stderr, /exists already/);
});

test("save writes .bin on request, and makes a plain LoRA of one that cannot run", async (t) => {
  const folder = await temporaryFolder(t);
  const corda = path.join(fixtures, "initial/corda");
  const llama = path.join(fixtures, "models/llama");
  const given = ["--base", llama, "--adapter", path.join(corda, "trained"), "--out", folder];
  const converting = [...given, "--convert-from", path.join(corda, "start"), "--bin"];
  const [raw, plain, wrong] = [
    await graft("save", ...given),
    await graft("save", ...converting, "--json"),
    await graft("save", ...given, "--embedding-layers", "some"),
  ];
  assert.equal(raw.code, 1);
  assert.match(raw.stderr, /corda.*cannot|takes directions/);
  assert.deepEqual([plain.code, plain.stderr], [0, ""]);
  const { files } = JSON.parse(plain.stdout) as { files: string[] };
  const names = ["adapter_config.json", "adapter_model.bin", "README.md"];
  assert.deepEqual(
    files,
    names.map((name) => path.join(folder, name)),
  );
  const inspected = await graft("inspect", folder, "--base", llama, "--json");
  assert.equal(inspected.code, 0, inspected.stderr);
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /auto, true or false/);
});

test("convert writes other forms, and says in a line what they lost", async (t) => {
  const folder = await temporaryFolder(t);
  const [small, file, back] = ["small", "x.onnx_adapter", "back"].map((name) =>
    path.join(folder, name),
  ) as [string, string, string];
  const pirate = adapter("lora-pirate");
  const [resized, exported, unsized, unknown] = await Promise.all([
    graft("convert", pirate, "--to", "resize", "--rank", "2", "--out", small),
    graft("convert", pirate, "--to", "onnx-adapter", "--names", "genai", "--out", file, "--json"),
    graft("convert", pirate, "--to", "lora", "--base", base, "--out", small),
    graft("convert", pirate, "--to", "zip", "--out", small),
  ]);
  assert.match(resized.stdout, /^28 modules of rank 2, written to .*small\n[\d.]+ % of the update/);
  assert.deepEqual((JSON.parse(exported.stdout) as { files: string[] }).files, [file]);
  assert.match(unsized.stderr, /one of --rank N, --energy SHARE and --exact/);
  assert.match(unknown.stderr, /"zip": lora, resize/);
  assert.equal(
    (await graft("convert", file, "--to", "peft", "--base", base, "--out", back)).code,
    0,
  );
  const said = await graft("run", "--base", base, "--adapter", back, ...prompt);
  assert.equal(said.stdout, "Arr! Th' sky be blue, matey!\n");
});

test("run keeps quantized weights, cache lists and clears them", async (t) => {
  const own = await temporaryFolder(t);
  const environment: NodeJS.ProcessEnv = bundleEnvironment;
  const before = environment["GRAFT_CACHE"];
  environment["GRAFT_CACHE"] = own;
  t.after(() => {
    if (before === undefined) delete environment["GRAFT_CACHE"];
    else environment["GRAFT_CACHE"] = before;
  });
  const asked = [path.join(sample, "base"), "Hello", "--max-tokens", "2", "--precision", "int4"];
  const first = await graft("run", ...asked);
  assert.match(first.stderr, /Weights: int4, .* made now, error [0-9.]+ %/);
  assert.match((await graft("run", ...asked)).stderr, /from the cache/);
  assert.match((await graft("cache")).stdout, /^[0-9a-f]{64} {2}\S+ {2}int4 {2}/);
  assert.match((await graft("cache", "clear")).stdout, /^Removed 1 /);
  assert.match((await graft("cache")).stdout, /holds nothing/);
  assert.equal((await graft("run", ...asked.slice(0, 2), "--precision", "int3")).code, 1);
});
