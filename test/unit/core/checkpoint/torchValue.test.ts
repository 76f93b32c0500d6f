import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { readTorchValue, TorchTensor } from "../../../../extension/core/checkpoint/torchFile.ts";
import {
  TorchTuple,
  writeTorchFile,
  writeTorchValue,
} from "../../../../extension/core/checkpoint/writeTorchFile.ts";

const tensor = {
  name: "exp_avg",
  dtype: "F32",
  shape: [2, 2],
  bytes: new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer),
} as const;

void test("what torch.save writes of an optimizer is read again", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "graft-torch-"));
  try {
    const file = path.join(folder, "optimizer.pt");
    const state = new Map([[0n, new Map([["exp_avg", tensor]])]]);
    const group = new Map<string, boolean | null | number | TorchTuple | bigint[]>([
      ["lr", 0.5],
      ["betas", new TorchTuple([0.9, 0.999])],
      ["amsgrad", false],
      ["fused", null],
      ["params", [0n, 300n, 70_000n]],
    ]);
    await writeTorchValue(
      file,
      new Map<string, Map<bigint, Map<string, typeof tensor>> | Map<string, never>[]>([
        ["state", state],
        ["param_groups", [group as never]],
      ]),
    );
    const read = (await readTorchValue(file)) as Map<string, unknown>;
    const [first] = read.get("param_groups") as Map<string, unknown>[];
    assert.deepEqual(Object.fromEntries(first as Map<string, unknown>), {
      lr: 0.5,
      betas: [0.9, 0.999],
      amsgrad: false,
      fused: null,
      params: [0, 300, 70_000],
    });
    const moments = (read.get("state") as Map<number, Map<string, TorchTensor>>).get(0);
    const average = moments?.get("exp_avg");
    assert.ok(average instanceof TorchTensor);
    assert.deepEqual([...average.shape, ...average.data], [2, 2, 1, 2, 3, 4]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

void test("a file that asks for more than data is refused", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "graft-torch-"));
  try {
    const file = path.join(folder, "adapter_model.bin");
    await writeTorchFile(file, [tensor]);
    const read = (await readTorchValue(file)) as Map<string, TorchTensor>;
    assert.deepEqual(read.get("exp_avg")?.data, Float32Array.of(1, 2, 3, 4));
    await assert.rejects(readTorchValue(path.join(folder, "none.pt")), { code: "bad-file" });
  } finally {
    await rm(folder, { recursive: true });
  }
});
