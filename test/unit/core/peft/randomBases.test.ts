import assert from "node:assert/strict";
import { test } from "node:test";
import { randomBases } from "../../../../extension/core/peft/randomBases.ts";
import { readTruths } from "../../../golden/truth.ts";

const adapters = new URL("../../../golden/fixtures/adapters/llama/", import.meta.url);

/** PEFT stored the bases of seed 0 for layers of at most [64, 64]; the seed must give the same bits. */
function check(name: string, sparse: boolean, verySparse: boolean): void {
  void test(`${name}: the seed gives the stored bases`, async () => {
    const stored = await readTruths(
      new URL(`${name}/adapter_model.safetensors`, adapters).pathname,
    );
    const config = { r: 8, projection_prng_key: 0, sparse, very_sparse: verySparse };
    const bases = randomBases(config, { in: 64, out: 64 });
    assert.deepEqual(bases.a, stored.get("base_model.randlora_A")?.data);
    assert.deepEqual(bases.b, stored.get("base_model.randlora_B")?.data);
  });
}

check("randlora", false, false);
check("randlora_sparse", true, false);
check("randlora_very_sparse", false, true);
