import assert from "node:assert/strict";
import { test } from "node:test";
import type { MethodBase } from "../../../../extension/core/peft/method.ts";
import { tieTargets } from "../../../../extension/core/peft/tiedTargets.ts";

const embedding = { kind: "embedding", path: "model.embed_tokens", in: 8, out: 4 };
const head = { kind: "linear", path: "lm_head", in: 4, out: 8 };

function base(isTied: boolean): MethodBase {
  const own = isTied ? { ...head, weight: "model.embed_tokens.weight" } : head;
  return { tree: { modules: [embedding, own] } } as unknown as MethodBase;
}

function tied(target_modules: string | string[] | null, isTied = true): unknown {
  const config = { target_modules, ensure_weight_tying: true } as Parameters<typeof tieTargets>[0];
  return tieTargets(config, base(isTied)).target_modules;
}

void test("targeting one end of a tied table targets both", () => {
  assert.deepEqual(tied(["embed_tokens"]), ["embed_tokens", "model.embed_tokens", "lm_head"]);
  assert.deepEqual(tied(["lm_head"]), ["lm_head", "model.embed_tokens"]);
  assert.equal(tied("lm_head|q_proj"), "(?:lm_head|q_proj)|model\\.embed_tokens|lm_head");
});

void test("other targets and untied bases stay as they are", () => {
  assert.deepEqual(tied(["q_proj"]), ["q_proj"]);
  assert.equal(tied("all-linear"), "all-linear");
  assert.equal(tied(null), null);
  assert.deepEqual(tied(["embed_tokens"], false), ["embed_tokens"]);
});
