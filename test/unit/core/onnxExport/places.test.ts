import assert from "node:assert/strict";
import { copyFile, cp, mkdir, rename, symlink, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { findExport, isExport } from "../../../../extension/core/onnxExport/findExport.ts";
import { openExport } from "../../../../extension/core/onnxExport/openExport.ts";
import { discover } from "../../../../extension/engine/discover.ts";
import { failure, fixtures, temporaryFolder } from "../support.ts";

const exports = path.join(fixtures, "exports");

/** An export of files that only have names. */
async function folderOf(
  t: Parameters<typeof temporaryFolder>[0],
  names: readonly string[],
): Promise<string> {
  const folder = await temporaryFolder(t);
  for (const name of ["config.json", ...names]) {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
    await writeFile(path.join(folder, name), "{}");
  }
  return folder;
}

const choices: [files: string[], asked: string | undefined, chosen: string][] = [
  [["model.onnx"], undefined, "model.onnx"],
  [["onnx/model.onnx", "onnx/model_q4.onnx"], undefined, "onnx/model.onnx"],
  [["onnx/model.onnx", "onnx/model_q4.onnx"], "model_q4", "onnx/model_q4.onnx"],
  [["onnx/model.onnx", "onnx/model_q4.onnx"], "model_q4.onnx", "onnx/model_q4.onnx"],
  [["onnx/model.onnx", "onnx/model_q4.onnx"], "onnx/model_q4.onnx", "onnx/model_q4.onnx"],
  [["llama.onnx"], undefined, "llama.onnx"],
  [
    ["decoder_model.onnx", "decoder_model_merged.onnx", "decoder_with_past_model.onnx"],
    undefined,
    "decoder_with_past_model.onnx",
  ],
];

for (const [files, asked, chosen] of choices) {
  test(`of ${files.join(", ")} ${asked ?? "nothing"} means ${chosen}`, async (t) => {
    const folder = await folderOf(t, files);
    assert(await isExport(folder));
    const place = await findExport(folder, asked);
    assert.equal(place.file, path.join(folder, chosen));
    assert.equal(place.dir, folder);
    assert.equal(place.variants.length, files.length);
  });
}

test("a variant that is not there, or may be any, is named with those that are", async (t) => {
  const folder = await folderOf(t, ["a.onnx", "b.onnx"]);
  await assert.rejects(findExport(folder, "c"), failure("not-found", "There are: a, b."));
  await assert.rejects(findExport(folder), failure("bad-request", "a, b", "Say which one"));
  const bare = await temporaryFolder(t);
  await writeFile(path.join(bare, "model.onnx"), "");
  await assert.rejects(findExport(bare), failure("not-found", "config.json"));
});

test("one part of a model is refused", async (t) => {
  const folder = await folderOf(t, ["encoder_model.onnx"]);
  await assert.rejects(openExport(await findExport(folder)), failure("unsupported", "one part"));
});

test("a folder with weights of its own is no export", async (t) => {
  assert(!(await isExport(await folderOf(t, ["model.onnx", "model.safetensors"]))));
});

test("every variant is a row of the list, and one that is broken says why", async (t) => {
  const root = await temporaryFolder(t);
  const folder = path.join(root, "tiny");
  await cp(path.join(exports, "llama-torchscript"), folder, { recursive: true });
  await cp(path.join(exports, "llama-genai"), path.join(root, "genai"), { recursive: true });
  await mkdir(path.join(root, "junk"));
  await writeFile(path.join(root, "junk/config.json"), "{");
  await copyFile(path.join(folder, "onnx/model.onnx"), path.join(root, "junk/model.onnx"));
  const { bases } = await discover(
    { roots: [{ path: root, source: "folder" }], huggingFaceCache: false } as never,
    { emit: () => {}, signal: new AbortController().signal },
  );
  const rows = new Map(bases.map((row) => [path.relative(root, row.path), row]));
  assert.deepEqual([...rows.keys()].sort(), [
    "genai/model.onnx",
    "junk/model.onnx",
    "tiny/onnx/model.onnx",
    "tiny/onnx/model_fp16.onnx",
    "tiny/onnx/model_q4.onnx",
    "tiny/onnx/model_quantized.onnx",
  ]);
  assert.equal(rows.get("tiny/onnx/model_q4.onnx")?.name, "tiny (model_q4.onnx)");
  assert.deepEqual(
    ["", "_fp16", "_q4", "_quantized"].map((end) => rows.get(`tiny/onnx/model${end}.onnx`)?.dtype),
    ["", "fp16", "int4", "int8"],
  );
  const whole = rows.get("genai/model.onnx");
  assert((whole?.parameters ?? 0) > 10_000);
  // Values beside the file count.
  assert((whole?.bytes ?? 0) > 90_000);
  assert.match(rows.get("junk/model.onnx")?.unsupported ?? "", /config\.json/);
  assert.equal(rows.get("tiny/onnx/model.onnx")?.unsupported, undefined);
});

test("a snapshot of the Hub's cache, all links, loads", async (t) => {
  const repo = path.join(await temporaryFolder(t), "models--tiny--llama");
  const snapshot = path.join(repo, "snapshots/0123abc");
  await cp(path.join(exports, "llama-genai"), snapshot, { recursive: true });
  await mkdir(path.join(repo, "blobs"));
  for (const name of ["config.json", "genai_config.json", "model.onnx", "model.onnx.data"]) {
    const blob = `hash-of-${name.replaceAll(".", "-")}`;
    await rename(path.join(snapshot, name), path.join(repo, "blobs", blob));
    await symlink(path.join("../../blobs", blob), path.join(snapshot, name));
  }
  const base = await loadBaseModel(snapshot);
  try {
    assert.equal(base.export?.mapped.length, base.export?.total);
    assert.equal(base.export?.producer, "onnxruntime-genai");
  } finally {
    await base.session.dispose();
  }
});
