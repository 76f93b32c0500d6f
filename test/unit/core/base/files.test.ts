import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { z } from "zod";
import type { ErrorCode } from "../../../../extension/core/base/errors.ts";
import { isFile, isFolder, writeAtomically } from "../../../../extension/core/base/files.ts";
import {
  parseFields,
  parseJsonObject,
  readJsonObject,
} from "../../../../extension/core/base/json.ts";
import { failure, temporaryFolder } from "../support.ts";

const broken: [text: string, problem: string][] = [
  ["\uFEFF{}", "byte order mark"],
  ["", "is not JSON"],
  ['{"a": 1,}', "is not JSON"],
  ['{"a": NaN}', "is not JSON"],
  ["[]", "is not a JSON object"],
  ["null", "is not a JSON object"],
  ['"text"', "is not a JSON object"],
];

for (const [text, problem] of broken) {
  test(`${JSON.stringify(text)}: ${problem}`, () => {
    const fails = failure("bad-file", "some/config.json", problem);
    assert.throws(() => parseJsonObject(text, "some/config.json"), fails);
  });
}

const schema = z.looseObject({
  r: z.int().positive(),
  names: z.array(z.string()).optional(),
  rope: z.looseObject({ theta: z.number() }).optional(),
});

const wrong: [value: object, field: string, found: string][] = [
  [{}, "r", "missing"],
  [{ r: null }, "r", "null"],
  [{ r: "8" }, "r", '"8"'],
  [{ r: 0 }, "r", "0"],
  [{ r: 8, names: ["a", 7] }, "names.1", "7"],
  [{ r: 8, rope: {} }, "rope.theta", "missing"],
  [{ r: "x".repeat(500) }, "r", `"${"x".repeat(56)}...`],
];

for (const [value, field, found] of wrong) {
  test(`field "${field}" is ${found.slice(0, 12)}: names file and field`, () => {
    const check = failure("bad-file", "c.json", `field "${field}" is ${found}`);
    assert.throws(
      () => parseFields(schema, value, "c.json"),
      (thrown: { details: object }) => {
        assert.deepEqual(thrown.details, { file: "c.json", field });
        return check(thrown);
      },
    );
  });
}

test("unknown fields pass", () => {
  const value = { r: 8, future: { deep: [1] } };
  assert.deepEqual(parseFields(schema, value, "c.json"), value);
});

test("what cannot be read says why", async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(path.join(folder, "folder.json"));
  await writeFile(path.join(folder, "file"), "");
  const cases: [name: string, code: ErrorCode, fragment: string][] = [
    ["none.json", "not-found", "none.json"],
    ["file/none.json", "not-found", "none.json"],
    ["folder.json", "bad-file", "EISDIR"],
  ];
  for (const [name, code, fragment] of cases) {
    await assert.rejects(readJsonObject(path.join(folder, name)), failure(code, folder, fragment));
  }
});

test("reading stops with its signal", async () => {
  const signal = AbortSignal.abort();
  await assert.rejects(readJsonObject("package.json", signal), { name: "AbortError" });
});

test("writes a file and the folders above it", async (t) => {
  const folder = await temporaryFolder(t);
  const file = path.join(folder, "a/b/file.txt");
  await writeAtomically(file, (handle) => handle.writeFile("new"));
  assert.equal(await readFile(file, "utf8"), "new");
  assert.deepEqual(await readdir(path.dirname(file)), ["file.txt"]);
});

test("the target is old until the whole new file is there", async (t) => {
  const folder = await temporaryFolder(t);
  const file = path.join(folder, "file.txt");
  await writeFile(file, "old");
  await writeAtomically(file, async (handle) => {
    await handle.writeFile("ne");
    assert.equal(await readFile(file, "utf8"), "old");
    await handle.writeFile("w");
  });
  assert.equal(await readFile(file, "utf8"), "new");
});

for (const old of [null, "old"]) {
  test(`a failed write leaves ${old === null ? "nothing" : "the old file"} behind`, async (t) => {
    const folder = await temporaryFolder(t);
    const file = path.join(folder, "file.txt");
    if (old !== null) await writeFile(file, old);
    const fail = writeAtomically(file, async (handle) => {
      await handle.writeFile("half");
      throw new Error("disk full");
    });
    await assert.rejects(fail, /disk full/);
    assert.deepEqual(await readdir(folder), old === null ? [] : ["file.txt"]);
    if (old !== null) assert.equal(await readFile(file, "utf8"), old);
  });
}

test("a target that is a folder stays, and nothing beside it", async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(path.join(folder, "target/inner"), { recursive: true });
  await assert.rejects(writeAtomically(path.join(folder, "target"), async () => {}));
  assert.deepEqual(await readdir(folder), ["target"]);
});

test("isFile and isFolder tell apart, and are false for what is not there", async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(path.join(folder, "file"), "");
  const places = ["", "file", "none"].map((name) => path.join(folder, name));
  assert.deepEqual(await Promise.all(places.map(isFile)), [false, true, false]);
  assert.deepEqual(await Promise.all(places.map(isFolder)), [true, false, false]);
});
