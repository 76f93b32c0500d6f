import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { MessageChannel } from "node:worker_threads";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import { generate } from "../../../../extension/core/tokens/generate.ts";
import { greedy } from "../../../../extension/core/tokens/sampler.ts";
import { fixtures } from "../support.ts";

test("a cancel that arrives while a prompt is read is heard after the part", async (t) => {
  const model = new PeftModel(
    await loadBaseModel(path.join(fixtures, "../../../media/sample/base")),
  );
  t.after(() => model.dispose());
  const { port1: host, port2: engine } = new MessageChannel();
  t.after(() => host.close());
  const controller = new AbortController();
  // As the host's messages do, it comes in by the event loop alone.
  engine.on("message", () => controller.abort());
  const inputs = model.inputsOf([]);
  const { contextLength } = model.base.session.model;
  const parts: number[] = [];
  const prompt = Array.from({ length: contextLength - 2 }, (_, i) => 3 + (i % 40));
  const answer = await model.base.session.with(inputs, (session) => {
    const watched = Object.assign(Object.create(session) as typeof session, {
      forward: ((state, tokens, options) => {
        if (parts.push(tokens[0]?.length ?? 0) === 1) host.postMessage("cancel");
        return session.forward(state, tokens, options);
      }) satisfies typeof session.forward,
    });
    return generate(
      watched,
      { prompt, adapters: inputs },
      {
        ...{ sampling: greedy, maxNewTokens: 1, stopTokens: new Set<number>() },
        signal: controller.signal,
      },
    );
  });
  assert.equal(answer.finish, "cancelled");
  assert(parts.length <= 2, `parts that were read: ${parts.join()}`);
  assert((parts[0] as number) < prompt.length);
});
