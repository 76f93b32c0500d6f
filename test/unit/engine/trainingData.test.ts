import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import * as os from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { trainingHandlers } from "../../../extension/engine/training/trainingHandlers.ts";

const base = fileURLToPath(new URL("../../../media/sample/base", import.meta.url));

test("a preview shows what is learned and lists what is broken", async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), "graft-preview-"));
  try {
    const file = path.join(folder, "a.jsonl");
    await writeFile(file, '{"prompt":"Hi","completion":"Arr"}\n{"prompt":"Hi"}\n');
    const preview = await trainingHandlers.previewTrainingData(
      { base, data: { files: [file], maxLength: 4096 }, examples: 5 },
      { emit: () => undefined, signal: new AbortController().signal },
    );
    assert.deepEqual(
      preview.examples.map(({ segments }) => segments.map(({ isLearned }) => isLearned)),
      [[false, true]],
    );
    assert.deepEqual([preview.format, preview.broken, preview.isWhole], ["instruction", 1, true]);
    assert.deepEqual(preview.problems[0]?.line, 2);
    assert.equal(preview.training.examples, 1);
  } finally {
    await rm(folder, { recursive: true });
  }
});
