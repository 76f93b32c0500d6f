import assert from "node:assert/strict";
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { openAdapterCheckpoint } from "../../../../extension/core/checkpoint/adapterCheckpoint.ts";
import { findBaseFolder } from "../../../../extension/core/checkpoint/findBase.ts";
import { baseNameFor } from "../../../../extension/core/checkpoint/leadToBase.ts";
import { convertAdapter } from "../../../../extension/core/convertAdapter.ts";
import { sample, temporaryFolder } from "../support.ts";

/** A tree with two bases; the adapter is in `project/adapters/one`. */
async function place(t: Parameters<typeof temporaryFolder>[0]) {
  const root = await temporaryFolder(t);
  const cache = path.join(root, "hub");
  const cached = path.join(cache, "models--owner--cached/snapshots/main");
  const [base, other] = ["project/base", "other"].map((name) => path.join(root, name));
  for (const folder of [base, other, cached] as string[]) {
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, "config.json"), "{}");
  }
  const nameIn = (name: string | null, target: string, known?: string) =>
    baseNameFor(
      { dir: path.join(root, "project/adapters/one"), config: { baseName: name } as never },
      { target: path.join(root, target), base: known, cache },
    );
  return { root, base: base as string, other: other as string, nameIn };
}

void test("a name that leads to the base from the new folder too stays", async (t) => {
  const { base, nameIn } = await place(t);
  assert.equal(await nameIn("base", "project/adapters/two"), "base");
  assert.equal(await nameIn(base, "elsewhere/two"), base);
  assert.equal(await nameIn("owner/cached", "elsewhere/two"), "owner/cached");
});

void test("a name that does not becomes the base's real path", async (t) => {
  const { base, other, nameIn } = await place(t);
  assert.equal(await nameIn("base", "elsewhere/two"), base);
  assert.equal(await nameIn("project/base", "nowhere/two"), "project/base");
  assert.equal(await nameIn("../../base", "elsewhere/two"), base);
  assert.equal(await nameIn("/gone/model", "elsewhere/two", other), other);
  assert.equal(await nameIn(null, "elsewhere/two", other), other);
});

void test("an id of the Hub stays although it is not on this machine", async (t) => {
  const { other, nameIn } = await place(t);
  assert.equal(await nameIn("owner/absent", "elsewhere/two", other), "owner/absent");
  assert.equal(await nameIn(null, "elsewhere/two"), null);
  assert.equal(await nameIn("/gone/model", "elsewhere/two"), "/gone/model");
});

void test("a converted adapter leads to its base, card and config alike", async (t) => {
  const target = path.join(await temporaryFolder(t), "made");
  const from = path.join(await temporaryFolder(t), "sample");
  await cp(sample, from, { recursive: true });
  const config = path.join(from, "adapters/dora-shout/adapter_config.json");
  const relative = (await readFile(config, "utf8")).replace('"sample/base"', '"../../base"');
  await writeFile(config, relative);
  const { warnings } = await convertAdapter({
    path: path.join(from, "adapters/dora-shout"),
    to: { kind: "lora", size: { kind: "rank", rank: 2 } },
    target,
  });
  assert.deepEqual(warnings, [], "a DoRA is no plain LoRA yet");
  const made = await openAdapterCheckpoint(target);
  assert.equal(made.config.baseName, path.join(from, "base"));
  assert.equal(await findBaseFolder(made), path.join(from, "base"));
  const card = await readFile(path.join(target, "README.md"), "utf8");
  assert(card.includes(`base_model: ${path.join(from, "base")}`), card);
});
