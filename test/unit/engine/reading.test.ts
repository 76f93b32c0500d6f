import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { createService } from "../../../extension/engine/service.ts";
import { failure, sample, temporaryFolder } from "../core/support.ts";

void test("an answer with a draft model is the one without; one that does not fit is refused", async (t) => {
  const service = createService();
  const context = { signal: new AbortController().signal, emit: () => undefined } as never;
  const { path: base } = await service.loadBaseModel({ path: path.join(sample, "base") }, context);
  t.after(() => service.unloadBaseModel({ base }, context));
  const say = async (draftModel: string | null): Promise<string> => {
    const reading = { speculation: "auto", draftModel, draftPrecision: "auto" } as const;
    await service.setReading(reading, context);
    const sampling = { maxNewTokens: 12, temperature: 0, topP: 1, topK: 0, repetitionPenalty: 1 };
    const prompt = { kind: "text", text: "What colour is the sky?" } as const;
    const params = { base, prompt, sampling: { ...sampling, seed: 1 } };
    return (await service.generate(params, context)).text;
  };
  const other = path.join(await temporaryFolder(t), "draft");
  await cp(path.join(sample, "base"), other, { recursive: true });
  const plain = await say(null);
  assert.equal(await say(other), plain);
  await assert.rejects(say(base), failure("unsupported", "the model that answers"));
  await assert.rejects(say(path.join(other, "gone")), failure("not-found", "gone"));
  assert.equal(await say(null), plain);
});
