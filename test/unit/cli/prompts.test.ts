import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { after, test } from "node:test";
import { root, sample, temporaryFolder } from "../core/support.ts";
import { bundle, bundleEnvironment } from "../engine/bundle.ts";

const cli = await bundle("extension/cli/main.ts", { after });

function graft(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((done) => {
    execFile(
      process.execPath,
      [cli, ...args],
      { env: bundleEnvironment },
      (error, stdout, stderr) =>
        done({
          code: typeof error?.code === "number" ? error.code : error ? -1 : 0,
          stdout,
          stderr,
        }),
    );
  });
}

const pirate = path.join(sample, "adapters/lora-pirate");

test("eval runs the sample workspace's prompt file; its exit code tells that a test failed", async () => {
  const file = path.join(root, "media/workspace/sky.prompt.yml");
  const { code, stdout, stderr } = await graft("eval", file, "--adapter", pirate);
  assert.equal(code, 1, stderr);
  assert.match(stdout, /^✓ What colour is the sky\? — base: The sky is blue\.$/m);
  assert.match(stdout, /^✗ Which day comes after Friday\? — lora-pirate: Arr! Thursday/m);
  assert.match(stdout, /^ {4}✗ Says the right thing: does not contain “Saturday”$/m);
  assert.match(stdout, /5 of 6 passed\n$/);
  assert.match(stderr, /1 of 6 tests failed/);
});

test("eval passes with code 0 and tells all as JSON", async (t) => {
  const file = path.join(await temporaryFolder(t), "a.prompt.yml");
  await writeFile(
    file,
    `messages: [{ role: user, content: "What colour is the sky?" }]
graft:
  adapters: [${JSON.stringify(pirate)}]
  evaluators: [{ regex: "blue" }, { differsFromBase: true }]
`,
  );
  const { code, stdout, stderr } = await graft("eval", file, "--json");
  assert.equal(code, 0, stderr);
  const results = JSON.parse(stdout) as { adapters: string; passed: boolean; output: string }[];
  assert.deepEqual(
    results.map(({ adapters, passed, output }) => [adapters, passed, output]),
    [
      ["base", true, "The sky is blue."],
      ["lora-pirate", true, "Arr! Th' sky be blue, matey!"],
    ],
  );
});

test("eval says where a file is wrong", async (t) => {
  const file = path.join(await temporaryFolder(t), "b.prompt.yml");
  await writeFile(file, "messages:\n  - role: boss\n    content: hi\n");
  const { code, stderr } = await graft("eval", file, "--adapter", pirate);
  assert.equal(code, 1);
  assert.match(stderr, /b\.prompt\.yml:2:11: “boss” is no role/);
});

test("bulk answers, goes on where it stopped, and exports", async (t) => {
  const folder = await temporaryFolder(t);
  const data = path.join(folder, "questions.csv");
  await writeFile(data, "prompt\nWhat colour is the sky?\nHello!\n");
  const exported = path.join(folder, "answers.md");
  const ask = ["bulk", data, "--adapter", pirate, "--max-tokens", "40"];
  const first = await graft(...ask, "--export", exported);
  assert.equal(first.code, 0, first.stderr);
  assert.match(first.stderr, /4 of 4 answers are in .*questions\.results\.jsonl/);
  assert.match(await readFile(exported, "utf8"), /\| Hello! \| .* \| Arr! Ahoy! /);
  const results = path.join(folder, "questions.results.jsonl");
  const lines = (await readFile(results, "utf8")).trimEnd().split("\n");
  await writeFile(results, `${lines.slice(0, 3).join("\n")}\n`);
  const second = await graft(...ask);
  assert.match(second.stderr, /^3 of 4, 0 tok\/s\n4 of 4/);
  const bare = (line: string): unknown => ({ ...(JSON.parse(line) as object), seconds: 0 });
  const again = (await readFile(results, "utf8")).trimEnd().split("\n");
  assert.deepEqual(again.map(bare), lines.map(bare));
});
