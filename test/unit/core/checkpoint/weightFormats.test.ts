import assert from "node:assert/strict";
import { cp, mkdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test, type TestContext } from "node:test";
import { type Dtype, type FloatDtype, toFloat32 } from "../../../../extension/core/base/dtype.ts";
import type { ErrorCode } from "../../../../extension/core/base/errors.ts";
import { fromFloat32 } from "../../../../extension/core/base/halfFloat.ts";
import { describeBase } from "../../../../extension/core/baseModel.ts";
import {
  type BaseCheckpoint,
  openBaseCheckpoint,
} from "../../../../extension/core/checkpoint/baseCheckpoint.ts";
import { writeTorchFile } from "../../../../extension/core/checkpoint/writeTorchFile.ts";
import { buildModel } from "../../../../extension/core/models/index.ts";
import { readTensors } from "../../../../extension/core/safetensors/read.ts";
import { type TensorData, writeSafetensors } from "../../../../extension/core/safetensors/write.ts";
import { adapterInputs } from "../../../../extension/core/session/adapterInputs.ts";
import { decodingSession, openSession } from "../../../../extension/core/session/openSession.ts";
import { difference, failure, fixtures, temporaryFolder } from "../support.ts";

const source = path.join(fixtures, "models/llama");
const single = "model.safetensors";
const turnedName = "model.layers.1.mlp.down_proj.weight";
const ids = [[5, 9, 33, 71, 2, 100, 64, 3]];

interface Plain {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** The tiny Llama's tensors as fp32. */
async function plainTensors(): Promise<Plain[]> {
  const { files } = await openBaseCheckpoint(source);
  const [own] = files;
  assert(own);
  const bytes = await readTensors(own.file, own.tensors);
  return own.tensors.map(({ name, shape, dtype }, i) => ({
    name,
    shape,
    values: toFloat32(bytes[i] as Uint8Array, dtype as FloatDtype).slice(),
  }));
}

/** The tiny Llama's folder without weights. */
async function bareFolder(t: TestContext): Promise<string> {
  const folder = await temporaryFolder(t);
  await cp(source, folder, { recursive: true });
  await rm(path.join(folder, single));
  return folder;
}

async function logitsOf(checkpoint: BaseCheckpoint): Promise<Float32Array> {
  const session = decodingSession(await openSession(buildModel(checkpoint)));
  try {
    const logitsRows = ids[0]?.map((_, i) => i) ?? [];
    const state = session.start(adapterInputs([]));
    return (await session.forward(state, ids, { logitsRows })).data;
  } finally {
    await session.dispose();
  }
}

const stored = ({ name, shape, values }: Plain, dtype: FloatDtype): TensorData => ({
  name,
  dtype,
  shape,
  bytes: fromFloat32(values, dtype),
});

for (const dtype of ["F32", "BF16", "F16", "F64"] as const) {
  test(`a ${dtype} file of torch.save answers as safetensors of the same values`, async (t) => {
    const folder = await bareFolder(t);
    const tensors = (await plainTensors()).map((tensor) => stored(tensor, dtype));
    await writeTorchFile(path.join(folder, "pytorch_model.bin"), tensors);
    const bin = await openBaseCheckpoint(folder);
    assert.deepEqual([bin.dtype, bin.shardNames], [dtype, ["pytorch_model.bin"]]);
    const actual = await logitsOf(bin);
    await writeSafetensors(path.join(folder, single), tensors);
    const safe = await openBaseCheckpoint(folder);
    assert.deepEqual(safe.shardNames, [single], "safetensors win over .bin");
    assert.equal(difference(actual, await logitsOf(safe)), 0);
  });
}

test("shards of torch.save are found by their index", async (t) => {
  const folder = await bareFolder(t);
  await writeShards(folder);
  const expected = await logitsOf(await openBaseCheckpoint(source));
  assert.equal(difference(await logitsOf(await openBaseCheckpoint(folder)), expected), 0);
});

/** Two .bin shards and their index. */
async function writeShards(folder: string): Promise<void> {
  const tensors = await plainTensors();
  const map: Record<string, string> = {};
  for (const [i, part] of [tensors.slice(0, 9), tensors.slice(9)].entries()) {
    const name = `pytorch_model-0000${i + 1}-of-00002.bin`;
    await writeTorchFile(path.join(folder, name), part.map((tensor) => stored(tensor, "F32"))); // prettier-ignore
    for (const tensor of part) map[tensor.name] = name;
  }
  await writeFile(
    path.join(folder, "pytorch_model.bin.index.json"),
    JSON.stringify({ weight_map: map }),
  );
}

test("a tensor that lies transposed in its file is turned as it is loaded", async (t) => {
  const folder = await bareFolder(t);
  const tensors = (await plainTensors()).map((tensor) => {
    if (tensor.name !== turnedName) return stored(tensor, "F32");
    const [rows = 0, columns = 0] = tensor.shape;
    const values = tensor.values.map(
      (_, i) => tensor.values[(i % rows) * columns + Math.floor(i / rows)] as number,
    );
    return stored({ ...tensor, shape: [columns, rows], values }, "F32");
  });
  await writeSafetensors(path.join(folder, single), tensors);
  const written = await openBaseCheckpoint(folder);
  const ref = written.weights.get(turnedName);
  assert(ref);
  const [columns = 0, rows = 0] = ref.shape;
  const seen = { ...ref, shape: [rows, columns], strides: [1, rows] };
  const turned = { ...written, weights: new Map([...written.weights, [turnedName, seen]]) };
  const whole = await openBaseCheckpoint(source);
  assert.equal(difference(await logitsOf(turned), await logitsOf(whole)), 0);
  const [own, original] = await Promise.all(
    [turned, whole].map((checkpoint) => describeBase(checkpoint).readTensor(turnedName)),
  );
  assert(own && original);
  assert.equal(difference(own, original), 0);
});

/** One byte of F8_E4M3 a value: 0x38 is 1, each step an eighth more. */
const f8Byte = (i: number): number => [0x38, 0xb9, 0x3a, 0xbb, 0x30, 0x3f, 0x00][i % 7] as number;

interface ScaleCase {
  readonly what: string;
  readonly suffix: string;
  scales(rows: number, columns: number): { shape: number[]; values: number[] } | null;
  of(row: number, column: number): number;
}

// Blocks of 24 × 40 divide neither rows nor columns of this model.
const blockOf = (row: number, column: number): number =>
  (1 + Math.floor(row / 24) + 3 * Math.floor(column / 40)) / 100;

// prettier-ignore
const scaleCases: readonly ScaleCase[] = [
  { what: "without scales", suffix: "", scales: () => null, of: () => 1 },
  { what: "with one scale", suffix: "_scale", scales: () => ({ shape: [], values: [0.03] }), of: () => 0.03 },
  { what: "with a scale a row", suffix: "_scale", scales: (rows) => ({ shape: [rows, 1], values: Array.from({ length: rows }, (_, i) => (i + 1) / 900) }), of: (row) => (row + 1) / 900 },
  { what: "with a scale a block", suffix: "_scale_inv", scales: (rows, columns) => {
    const shape = [Math.ceil(rows / 24), Math.ceil(columns / 40)] as const;
    const values = Array.from({ length: shape[0] * shape[1] }, (_, i) => blockOf(Math.floor(i / shape[1]) * 24, (i % shape[1]) * 40));
    return { shape: [...shape], values };
  }, of: blockOf },
];

for (const { what, suffix, scales, of } of scaleCases) {
  test(`8-bit floating-point weights ${what} are what they stand for`, async (t) => {
    const folder = await bareFolder(t);
    await addToConfig(folder, { quantization_config: { weight_block_size: [24, 40] } });
    const plain = await plainTensors();
    const isSmall = ({ name }: Plain): boolean => name.includes("_proj");
    const tensors = plain.flatMap((tensor): TensorData[] => {
      if (!isSmall(tensor)) return [stored(tensor, "F32")];
      const [rows = 0, columns = 0] = tensor.shape;
      const bytes = Uint8Array.from(tensor.values, (_, i) => f8Byte(i));
      const small = { name: tensor.name, dtype: "F8_E4M3" as Dtype, shape: tensor.shape, bytes };
      const own = scales(rows, columns);
      if (!own) return [small];
      const values = Float32Array.from(own.values);
      return [small, stored({ name: tensor.name + suffix, shape: own.shape, values }, "F32")];
    });
    const meant = plain.map((tensor) => {
      if (!isSmall(tensor)) return tensor;
      const columns = tensor.shape[1] as number;
      const values = toFloat32(
        Uint8Array.from(tensor.values, (_, i) => f8Byte(i)),
        "F8_E4M3",
      ).map((value, i) => value * Math.fround(of(Math.floor(i / columns), i % columns)));
      return { ...tensor, values };
    });
    await writeSafetensors(path.join(folder, single), tensors);
    const small = await openBaseCheckpoint(folder);
    assert.equal(small.weights.size, plain.length, "scales are no tensors of their own");
    const logits = await logitsOf(small);
    const read = await describeBase(small).readTensor(turnedName);
    assert(read);
    const truth = meant.find(({ name }) => name === turnedName)?.values ?? [];
    assert(difference(read, truth) < 1e-6);
    await writeSafetensors(
      path.join(folder, single),
      meant.map((tensor) => stored(tensor, "F32")),
    );
    assert(difference(logits, await logitsOf(await openBaseCheckpoint(folder))) < 1e-5);
  });
}

async function addToConfig(folder: string, fields: object): Promise<void> {
  const file = path.join(folder, "config.json");
  const config = JSON.parse(await readFile(file, "utf8")) as object;
  await writeFile(file, JSON.stringify({ ...config, ...fields }));
}

interface BadFolder {
  readonly what: string;
  readonly code: ErrorCode;
  readonly says: readonly string[];
  make(folder: string): Promise<void>;
}

const put =
  (name: string, text = "x"): BadFolder["make"] =>
  (folder) =>
    writeFile(path.join(folder, name), text);
const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 269060552\n";
const shardIndex = `${single}.index.json`;

// prettier-ignore
const badFolders: readonly BadFolder[] = [
  { what: "TensorFlow's weights alone", code: "unsupported", says: ["tf_model.h5", "TensorFlow", "from_tf"], make: put("tf_model.h5") },
  { what: "Flax's weights alone", code: "unsupported", says: ["flax_model.msgpack", "from_flax"], make: put("flax_model.msgpack") },
  { what: "GGUF alone", code: "unsupported", says: ["model.Q4_K_M.gguf", "llama.cpp"], make: put("model.Q4_K_M.gguf") },
  { what: "its maker's layout", code: "unsupported", says: ["consolidated.00.pth"], make: put("consolidated.00.pth") },
  { what: "a variant alone", code: "unsupported", says: ["model.fp16.safetensors", "variant"], make: put("model.fp16.safetensors") },
  { what: "a pointer of git-lfs", code: "bad-file", says: [single, "269060552 bytes", "git lfs pull"], make: put(single, pointer) },
  { what: "a pointer for a .bin file", code: "bad-file", says: ["pytorch_model.bin", "git lfs pull"], make: put("pytorch_model.bin", pointer) },
  { what: "an error page", code: "bad-file", says: [single, "web page"], make: put(single, "<!DOCTYPE html><html>") },
  { what: "an empty file", code: "bad-file", says: [single, "is empty"], make: put(single, "") },
  { what: "a half download", code: "not-found", says: ["has not ended", `${single}.incomplete`], make: put(`${single}.incomplete`) },
  { what: "a dead link", code: "not-found", says: ["leads nowhere"], make: (folder) => symlink("../blobs/none", path.join(folder, single)) },
  { what: "a .bin file that runs code", code: "bad-file", says: ["pytorch_model.bin"], make: put("pytorch_model.bin", "cos\nsystem\n(X\x04\0\0\0truetR.") },
  { what: "a shard that is a half download", code: "not-found", says: ["model-00001-of-00001.safetensors", "has not ended"], make: async (folder) => {
    await put(shardIndex, `{"weight_map":{"a":"model-00001-of-00001.safetensors"}}`)(folder);
    await put("model-00001-of-00001.safetensors.part")(folder);
  } },
  { what: "an index of nothing", code: "bad-file", says: [shardIndex, "lists no tensor"], make: put(shardIndex, `{"weight_map":{}}`) },
  { what: "an index that leaves by backslash", code: "bad-file", says: ["outside the folder"], make: put(shardIndex, `{"weight_map":{"a":"..\\\\x.safetensors"}}`) },
  { what: "a .bin index that leaves", code: "bad-file", says: ["outside the folder"], make: put("pytorch_model.bin.index.json", `{"weight_map":{"a":"../x.bin"}}`) },
  { what: "no weights", code: "not-found", says: [single, "pytorch_model.bin"], make: async () => {} },
  { what: "a truncated file", code: "bad-file", says: [single, "truncated", "Download or copy it again"], make: async (folder) => {
    await cp(path.join(source, single), path.join(folder, single));
    await truncate(path.join(folder, single), 200_000);
  } },
  { what: "a truncated .bin file", code: "bad-file", says: ["pytorch_model.bin"], make: async (folder) => {
    const file = path.join(folder, "pytorch_model.bin");
    await writeTorchFile(file, (await plainTensors()).map((tensor) => stored(tensor, "F32")));
    await truncate(file, 200_000);
  } },
  { what: "an index that a shard does not keep to", code: "bad-file", says: ["pytorch_model.bin.index.json", `"lost.weight"`, "download them again"], make: async (folder) => {
    await writeShards(folder);
    const file = path.join(folder, "pytorch_model.bin.index.json");
    const index = JSON.parse(await readFile(file, "utf8")) as { weight_map: object };
    const lost = { "lost.weight": "pytorch_model-00001-of-00002.bin" };
    await writeFile(file, JSON.stringify({ weight_map: { ...index.weight_map, ...lost } }));
  } },
];

for (const { what, code, says, make } of badFolders) {
  test(`a base with ${what} says so`, async (t) => {
    const folder = await bareFolder(t);
    await make(folder);
    await assert.rejects(openBaseCheckpoint(folder), failure(code, folder, ...says));
  });
}

test("an empty folder and a scale that does not fit say so", async (t) => {
  const folder = path.join(await temporaryFolder(t), "empty");
  await mkdir(folder);
  await assert.rejects(openBaseCheckpoint(folder), failure("not-found", folder, "is empty"));
  const other = await bareFolder(t);
  const weight = { name: "a.weight", dtype: "F8_E4M3", shape: [4, 4], bytes: new Uint8Array(16) } as const; // prettier-ignore
  const scale = stored({ name: "a.weight_scale", shape: [3, 9], values: new Float32Array(27) }, "F32"); // prettier-ignore
  await writeSafetensors(path.join(other, single), [weight, scale]);
  await assert.rejects(
    openBaseCheckpoint(other),
    failure("bad-file", `"a.weight_scale" [3, 9]`, "[4, 4]"),
  );
});

test("config and weights that disagree are refused with tensor and shapes", async (t) => {
  const folder = await temporaryFolder(t);
  await cp(source, folder, { recursive: true });
  await addToConfig(folder, { intermediate_size: 100 });
  const wrong = await openBaseCheckpoint(folder);
  assert.throws(
    () => buildModel(wrong),
    failure("bad-file", "mlp.gate_proj.weight", "[96, 64]", "[100, 64]"),
  );
  await addToConfig(folder, { intermediate_size: 96, num_hidden_layers: 3 });
  const short = await openBaseCheckpoint(folder);
  assert.throws(() => buildModel(short), failure("bad-file", "model.layers.2.", "is missing"));
  await addToConfig(folder, { num_hidden_layers: 2, model_type: "dinosaur" });
  const unknown = await openBaseCheckpoint(folder);
  assert.throws(() => buildModel(unknown), failure("unsupported", `"dinosaur"`, "llama", "qwen2"));
});
