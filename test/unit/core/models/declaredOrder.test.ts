import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { buildModel } from "../../../../extension/core/models/index.ts";
import { openCheckpoint } from "../../../../extension/core/models/openCheckpoint.ts";
import { fixtures } from "../support.ts";

// What named_modules() of transformers' models gives below these paths.
const truths: Readonly<Record<string, [place: string, modules: string]>> = {
  qwen3: [
    "model.layers.0",
    "self_attn.q_proj self_attn.k_proj self_attn.v_proj self_attn.o_proj self_attn.q_norm self_attn.k_norm mlp.gate_proj mlp.up_proj mlp.down_proj input_layernorm post_attention_layernorm",
  ],
  phi3: [
    "model.layers.1",
    "self_attn.o_proj self_attn.qkv_proj mlp.gate_up_proj mlp.down_proj input_layernorm post_attention_layernorm",
  ],
  granitemoe: [
    "model.layers.0",
    "self_attn.q_proj self_attn.k_proj self_attn.v_proj self_attn.o_proj input_layernorm post_attention_layernorm block_sparse_moe.router",
  ],
  "falcon-rw": [
    "transformer.h.0",
    "self_attention.query_key_value self_attention.dense mlp.dense_h_to_4h mlp.dense_4h_to_h post_attention_layernorm input_layernorm",
  ],
  "neox-serial": [
    "gpt_neox.layers.0",
    "input_layernorm post_attention_layernorm attention.query_key_value attention.dense mlp.dense_h_to_4h mlp.dense_4h_to_h",
  ],
  "phi-qk": [
    "model.layers.0",
    "self_attn.q_proj self_attn.k_proj self_attn.v_proj self_attn.dense self_attn.q_layernorm self_attn.k_layernorm mlp.fc1 mlp.fc2 input_layernorm",
  ],
  vit: [
    "vit.layers.0",
    "attention.q_proj attention.k_proj attention.v_proj attention.o_proj layernorm_before layernorm_after mlp.fc1 mlp.fc2",
  ],
  "roberta-tokencls": [
    "roberta.embeddings",
    "word_embeddings token_type_embeddings LayerNorm position_embeddings",
  ],
};

for (const [name, [place, modules]] of Object.entries(truths)) {
  void test(`${name}'s modules are in the order of PyTorch's`, async () => {
    const { tree } = buildModel(await openCheckpoint(path.join(fixtures, "models", name)));
    const own = tree.modules.filter((module) => module.path.startsWith(`${place}.`));
    assert.equal(own.map((module) => module.path.slice(place.length + 1)).join(" "), modules);
  });
}

void test("experts stand where their block does", async () => {
  const { tree } = buildModel(await openCheckpoint(path.join(fixtures, "models/mixtral-small")));
  const before = tree.experts?.map(({ place }) => tree.modules[place]?.path);
  assert.deepEqual(before, ["model.layers.0.mlp.gate", "model.layers.1.mlp.gate"].map(afterGate));
  function afterGate(gate: string): string | undefined {
    const router = tree.modules.findIndex((module) => module.path === gate);
    return tree.modules[router + 1]?.path;
  }
});
