import assert from "node:assert/strict";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { readPickle } from "../../../../extension/core/checkpoint/pickle.ts";
import { openTorchFile } from "../../../../extension/core/checkpoint/torchFile.ts";
import { readFloat32 } from "../../../../extension/core/safetensors/read.ts";
import { failure, fixtures, temporaryFolder } from "../support.ts";

/** A pickle of protocol 2 around opcodes, with texts as they are. */
function pickle(...parts: (string | number)[]): Buffer {
  const bytes = parts.map((part) =>
    typeof part === "number" ? Buffer.from([part]) : Buffer.from(part, "latin1"),
  );
  return Buffer.concat([Buffer.from([0x80, 2]), ...bytes, Buffer.from(".")]);
}

function text(value: string): string {
  return `X${String.fromCharCode(value.length, 0, 0, 0)}${value}`;
}

function integer(value: number): string {
  return `K${String.fromCharCode(value)}`;
}

function tensor(at: { key: string; elements: number; shape: number[]; strides: number[] }): string {
  const storage = `(${text("storage")}ctorch\nFloatStorage\n${text(at.key)}${text("cpu")}${integer(at.elements)}NtQ`;
  const sizes = (values: number[]): string => `(${values.map(integer).join("")}t`;
  const hooks = "ccollections\nOrderedDict\n)R";
  return `ctorch._utils\n_rebuild_tensor_v2\n(${storage}${integer(0)}${sizes(at.shape)}${sizes(at.strides)}\x89${hooks}tR`;
}

/** A file as torch.save wrote it before PyTorch 1.6. */
function legacyFile(dict: string, storages: Record<string, number[]>): Buffer {
  const magic = "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
  const keys = Object.keys(storages).map(text).join("");
  const data = Object.values(storages).flatMap((values) => [
    Buffer.from(BigInt64Array.of(BigInt(values.length)).buffer),
    Buffer.from(Float32Array.from(values).buffer),
  ]);
  return Buffer.concat([
    pickle(magic),
    pickle("M\xe9\x03"),
    pickle("}"),
    pickle("}(", dict, "u"),
    pickle("](", keys, "e"),
    ...data,
  ]);
}

const file = "adapter_model.bin";

const values: [name: string, parts: string[], expected: unknown][] = [
  ["numbers", ["(", integer(7), "J\xff\xff\xff\xff", "\x8a\x01\xfe", "t"], [7, -1, -2]],
  ["a dict", ["}(", text("a"), "N", text("b"), "\x88", "u"], new Map([["a", null], ["b", true]])], // prettier-ignore
  ["a value recalled", [text("x"), "q\x05", "h\x05", "\x86"], ["x", "x"]],
];

for (const [name, parts, expected] of values) {
  void test(`a pickle holds ${name}`, () => {
    assert.deepEqual(readPickle(pickle(...parts), { file }).value, expected);
  });
}

const hostile: [name: string, parts: string[], says: string][] = [
  ["a call", ["cos\nsystem\n(", text("true"), "tR"], "os.system"],
  ["a call by stack", [text("builtins"), text("eval"), "\x93)R"], "builtins.eval"],
  ["a call of torch", ["ctorch\nload\n)R"], "torch.load"],
  ["a call of an inherited name", ["c\nconstructor\n)R"], "constructor"],
  ["an unknown opcode", ["\x81"], "opcode 129"],
  ["an empty stack", ["0", "R"], "pickle"],
  ["a text that never ends", ["X\xff\xff\xff\x7fabc"], "ends at byte"],
  ["a name never kept", ["h\x07"], "recalls 7"],
];

for (const [name, parts, says] of hostile) {
  void test(`a pickle with ${name} is refused`, () => {
    assert.throws(() => readPickle(pickle(...parts), { file }), failure("bad-file", file, says));
  });
}

void test("tensors of the older format, also those that lie transposed", async (t) => {
  const place = path.join(await temporaryFolder(t), file);
  const dict =
    text("plain") +
    tensor({ key: "1", elements: 6, shape: [2, 3], strides: [3, 1] }) +
    text("turned") +
    tensor({ key: "0", elements: 6, shape: [2, 3], strides: [1, 2] });
  const [one, two] = [[1, 2, 3, 4, 5, 6], [1, 4, 2, 5, 3, 6]]; // prettier-ignore
  await writeFile(place, legacyFile(dict, { "0": two, "1": one }));
  const { tensors } = await openTorchFile(place);
  const read = await readFloat32(place, tensors);
  assert.deepEqual([...(read.get("plain") ?? [])], one);
  assert.deepEqual([...(read.get("turned") ?? [])], one);
});

void test("a tensor beyond its storage is refused", async (t) => {
  const place = path.join(await temporaryFolder(t), file);
  const dict = text("far") + tensor({ key: "0", elements: 4, shape: [2, 3], strides: [3, 1] });
  await writeFile(place, legacyFile(dict, { "0": [1, 2, 3, 4] }));
  await assert.rejects(openTorchFile(place), failure("bad-file", "far", "beyond its storage"));
});

void test("a truncated zip is refused", async (t) => {
  const place = path.join(await temporaryFolder(t), file);
  const whole = path.join(fixtures, "adapters/llama/lora_bin", file);
  await copyFile(whole, place);
  const bytes = await readFile(whole);
  await writeFile(place, bytes.subarray(0, bytes.length - 300));
  await assert.rejects(openTorchFile(place), failure("bad-file", place, "zip"));
});
