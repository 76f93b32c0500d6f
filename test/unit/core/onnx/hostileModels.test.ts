import assert from "node:assert/strict";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { type ErrorCode, GraftError } from "../../../../extension/core/base/errors.ts";
import { readModel } from "../../../../extension/core/onnx/readModel.ts";
import type { MessageWriter } from "../../../../extension/core/onnx/wire.ts";
import { failure, fixtures, temporaryFolder } from "../support.ts";
import { floats, graph, model, node, port, tensor, writeModel } from "./protos.ts";

type Write = (message: MessageWriter) => void;

/** y = x + w, w as given. */
function sum(w: Write): Uint8Array {
  return model(
    graph({
      nodes: [node("Add", [["x", "w"], ["y"]])],
      ...{ tensors: [w], inputs: [port("x", [2])], outputs: [port("y", [2])] },
    }),
  );
}

const outside = (location: string): Uint8Array =>
  sum(tensor("w", { dims: [2], external: { location } }));

/** An attribute with the given fields on a node. */
function withAttribute(write: Write): Uint8Array {
  const more: Write = (message) => message.message(5, write);
  return model(
    graph({
      nodes: [node("Neg", [["x"], ["y"]], more)],
      ...{ inputs: [port("x", [2])], outputs: [port("y", [2])] },
    }),
  );
}

function nested(depth: number): Write {
  return depth === 0
    ? node("Neg", [["x"], ["y"]])
    : node("If", [["x"], ["y"]], (message) =>
        message.message(5, (own) =>
          own
            .string(1, "then_branch")
            .int(20, 5)
            .message(6, graph({ nodes: [nested(depth - 1)] })),
        ),
      );
}

const whole = sum(tensor("w", { dims: [2], raw: floats(1, 2) }));

const hostile: [what: string, bytes: Uint8Array, code: ErrorCode, ...fragments: string[]][] = [
  ["an empty file", new Uint8Array(0), "bad-file", "holds no graph"],
  ["text", Buffer.from("version https://git-lfs.github.com/spec/v1\n"), "bad-file", "not a whole"],
  ["zeros", new Uint8Array(64), "bad-file", "field number 0"],
  ["a file that was cut", whole.slice(0, -9), "bad-file", "ends behind"],
  ["no graph", new Uint8Array([8, 10]), "bad-file", "holds no graph"],
  [
    "two graphs",
    model(graph({}), (message) => message.message(7, graph({}))),
    "bad-file",
    "two graphs",
  ],
  [
    "a node without operator",
    model(graph({ nodes: [(message) => message.string(3, "n")] })),
    "bad-file",
    '"n" has no operator',
  ],
  ["a path upwards", outside("../secret"), "bad-file", '"../secret"', "outside"],
  ["a path upwards in the middle", outside("a/../../secret"), "bad-file", "outside"],
  ["a path with backslashes", outside("..\\secret"), "bad-file", "outside"],
  ["an absolute path", outside("/etc/passwd"), "bad-file", '"/etc/passwd"', "outside"],
  ["a path with a drive", outside("C:\\secret"), "bad-file", "outside"],
  ["no path", outside(""), "bad-file", "outside"],
  ["a file that is not there", outside("gone.data"), "bad-file", "gone.data", '"w"'],
  [
    "huge dimensions",
    sum(tensor("w", { dims: [2n ** 40n, 2n ** 40n], raw: floats(1) })),
    "bad-file",
    "impossible shape",
  ],
  [
    "a negative dimension",
    sum(tensor("w", { dims: [-2], raw: floats(1) })),
    "bad-file",
    "impossible shape",
  ],
  [
    "dimensions that do not fit the values",
    sum(tensor("w", { dims: [1 << 30], raw: floats(1, 2) })),
    "bad-file",
    "4294967296 bytes",
  ],
  [
    "an element type that there is none of",
    sum(tensor("w", { dims: [2], raw: floats(1, 2), type: 99 })),
    "unsupported",
    "99",
  ],
  [
    "dimensions in a packed list that does not end",
    sum((message) => message.bytes(1, new Uint8Array(1 << 18).fill(255)).string(8, "w")),
    "bad-file",
    "more than 64 bits",
  ],
  [
    "a float of another size",
    withAttribute((message) => message.string(1, "a").int(2, 3).int(20, 1)),
    "bad-file",
    "float",
  ],
  [
    "a circle",
    model(
      graph({
        nodes: [node("Add", [["x", "b"], ["a"]]), node("Neg", [["a"], ["b"]])],
        ...{ inputs: [port("x", [2])], outputs: [port("b", [2])] },
      }),
    ),
    "bad-file",
    "circle",
  ],
  [
    "a node that reads itself",
    model(
      graph({
        nodes: [node("Neg", [["a"], ["a"]])],
        outputs: [port("a", [2])],
      }),
    ),
    "bad-file",
    "circle",
  ],
  [
    "a value that two nodes make",
    model(graph({ nodes: [node("Neg", [["x"], ["a"]]), node("Abs", [["x"], ["a"]])] })),
    "bad-file",
    'two nodes make the value "a"',
  ],
  [
    "an output that nothing makes",
    model(graph({ outputs: [port("lost", [2])] })),
    "bad-file",
    '"lost"',
  ],
  ["graphs in graphs", model(graph({ nodes: [nested(40)] })), "bad-file", "deep"],
];

for (const [what, bytes, code, ...fragments] of hostile) {
  test(`refuses ${what}`, async (t) => {
    const file = await writeModel(await temporaryFolder(t), bytes);
    await assert.rejects(readModel(file), failure(code, file, ...fragments));
  });
}

for (const [what, entries] of [
  ["begins behind the end", { offset: "100" }],
  ["is longer than the file", { offset: "12" }],
  ["has a negative place", { offset: "-8" }],
  ["has a length that is no number", { length: "1e99" }],
  ["is smaller than its shape", { length: "4" }],
] as const) {
  test(`refuses external values whose range ${what}`, async (t) => {
    const folder = await temporaryFolder(t);
    await writeFile(path.join(folder, "w.data"), new Uint8Array(16));
    const external = { location: "w.data", ...entries };
    const file = await writeModel(folder, sum(tensor("w", { dims: [2], external })));
    await assert.rejects(readModel(file), failure("bad-file", '"w"', "bytes"));
  });
}

test("refuses a link that leads out of the folder, and takes one that stays", async (t) => {
  const folder = await temporaryFolder(t);
  const inside = path.join(folder, "model");
  await mkdir(inside);
  await writeFile(path.join(folder, "secret"), floats(1, 2));
  await symlink("../secret", path.join(inside, "w.data"));
  const file = await writeModel(inside, outside("w.data"));
  await assert.rejects(readModel(file), failure("bad-file", "a link that leads outside"));
  await writeFile(path.join(inside, "own"), floats(1, 2));
  await symlink("own", path.join(inside, "v.data"));
  const { initializers } = await readModel(await writeModel(inside, outside("v.data")));
  const data = initializers[0]?.data;
  assert(data?.kind === "external");
  assert.equal(data.file, path.join(inside, "own"));
});

test("a file with bytes changed at random is read or refused by name", async (t) => {
  const source = await readFile(path.join(fixtures, "exports/gpt2-torchscript/model.onnx"));
  const folder = await temporaryFolder(t);
  let seed = 7;
  const below = (count: number): number => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return seed % count;
  };
  let refused = 0;
  for (let round = 0; round < 40; round++) {
    const bytes = Uint8Array.from(source);
    for (let i = 0; i <= round % 4; i++) bytes[below(round % 2 ? 600 : bytes.length)] = below(256);
    try {
      await readModel(await writeModel(folder, bytes));
    } catch (error) {
      assert(error instanceof GraftError, String(error));
      refused++;
    }
  }
  assert(refused > 5, `${refused}`);
});
