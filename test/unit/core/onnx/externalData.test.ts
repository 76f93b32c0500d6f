import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { GraphBuilder } from "../../../../extension/core/onnx/builder.ts";
import type { Graph } from "../../../../extension/core/onnx/graph.ts";
import { encodeModel } from "../../../../extension/core/onnx/protobuf.ts";
import { float32Tensor, OrtSession } from "../../../../extension/core/session/ortSession.ts";
import { root, temporaryFolder } from "../support.ts";

/** y = x + Σ weights, each [2], at an odd offset of its own file. */
function sumGraph(files: readonly string[]): Graph {
  const g = new GraphBuilder();
  let y = g.input("x", "float32", [2]);
  for (const file of files) {
    const data = { kind: "external", file, offset: 3, byteLength: 8 } as const;
    y = g.add(y, g.initializer(file, "float32", [2], data));
  }
  g.output(y, "y", "float32", [2]);
  return g.build("sum");
}

const folders: [files: string[], folder: string | null][] = [
  [[], null],
  [["/a/b/one"], "/a/b"],
  [["/a/b/one", "/a/b/two"], "/a/b"],
  [["/a/b/one", "/a/c/two"], "/a"],
  [["/a/b/one", "/a/b/c/two"], "/a/b"],
  [["/a/b/c/two", "/a/b/one"], "/a/b"],
  [["/a/bc/one", "/a/b/two"], "/a"],
  [["/a/b/c/one", "/a/b/d/two", "/a/e/three"], "/a"],
  [["/one", "/a/two"], "/"],
  [["/a/one", "/b/two"], "/"],
];

for (const [files, folder] of folders) {
  test(`${files.join(" and ") || "no file"}: below ${folder}`, { skip: path.sep !== "/" }, () => {
    const { bytes, externalFolder } = encodeModel(sumGraph(files));
    assert.equal(externalFolder, folder);
    for (const file of files) {
      assert(Buffer.from(bytes).includes(path.relative(folder ?? "", file)), file);
    }
  });
}

/** Writes two floats behind three bytes of something else. */
async function writeWeight(file: string, values: [number, number]): Promise<string> {
  await mkdir(path.dirname(file), { recursive: true });
  const bytes = new Uint8Array(Float32Array.from(values).buffer);
  await writeFile(file, [Buffer.from("abc"), bytes]);
  return file;
}

async function run(graph: Graph): Promise<number[]> {
  const session = await OrtSession.create(graph);
  try {
    const { y } = await session.run({ x: float32Tensor(Float32Array.of(1, 2), [2]) });
    return [...(y?.data as Float32Array)];
  } finally {
    await session.dispose();
  }
}

for (const places of [
  ["one"],
  ["one", "two"],
  ["a/one", "b/deep/two"],
  ["one", "b/two", "b/c/ü ö"],
]) {
  test(`ONNX Runtime reads ${places.join(", ")}`, async (t) => {
    const folder = await temporaryFolder(t);
    const files = await Promise.all(
      places.map((place, i) => writeWeight(path.join(folder, place), [10 ** (i + 1), 0.5])),
    );
    const tens = files.reduce((sum, _, i) => sum + 10 ** (i + 1), 0);
    assert.deepEqual(await run(sumGraph(files)), [1 + tens, 2 + files.length / 2]);
  });
}

test("ONNX Runtime reads files that share the root alone", async (t) => {
  const one = await writeWeight(path.join(await temporaryFolder(t), "one"), [10, 20]);
  const other = path.join(root, "media/sample/base/tokenizer.json");
  const text = await readFile(other);
  assert.deepEqual(await run(sumGraph([one, other])), [
    Math.fround(11 + text.readFloatLE(3)),
    Math.fround(22 + text.readFloatLE(7)),
  ]);
});

test("a weight file that is gone is a named error", async () => {
  await assert.rejects(OrtSession.create(sumGraph(["/none/such/file"])), /ONNX Runtime refused/);
});
