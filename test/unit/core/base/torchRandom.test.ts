import assert from "node:assert/strict";
import { before, test } from "node:test";
import { torchGenerator } from "../../../../extension/core/base/torchRandom.ts";
import { readTruths, type Truth } from "../../../golden/truth.ts";

/** Vectors that torch itself wrote. */
const file = new URL("../../../golden/fixtures/prng/torch_prng.safetensors", import.meta.url);
const seeds = [0, 42, 777, 1234, 2147483647, 4294967301];

let truths: Map<string, Truth>;
before(async () => {
  truths = await readTruths(file.pathname);
});

function check(
  name: string,
  draw: (generator: ReturnType<typeof torchGenerator>) => ArrayLike<number>,
  tolerance: number,
): void {
  void test(name, () => {
    for (const seed of seeds) {
      const { data } = truths.get(`${name}/seed${seed}`) as Truth;
      const drawn = Array.from(draw(torchGenerator(seed)));
      assert.equal(drawn.length, data.length);
      const worst = Math.max(...drawn.map((value, i) => Math.abs(value - Number(data[i]))));
      assert.ok(worst <= tolerance, `seed ${seed} differs by ${worst}`);
    }
  });
}

check("rand40", (generator) => generator.uniform(40), 0);
check("uniform_4x16_pm0.6", (generator) => generator.uniform(64, -0.6, 0.6), 0);
check("randn7_small", (generator) => generator.normal(7), 0);
check("randn50", (generator) => generator.normal(50), 3e-7);
check("randn64", (generator) => generator.normal(64), 3e-7);
check("randperm1", (generator) => generator.permutation(1), 0);
check("randperm100", (generator) => generator.permutation(100), 0);
check("randperm4096", (generator) => generator.permutation(4096), 0);
check("bernoulli0.5_200", (generator) => generator.bernoulli(200, 0.5), 0);

void test("a generator goes on where it stopped", () => {
  const [once, twice] = [torchGenerator(7), torchGenerator(7)];
  const halves = [...twice.uniform(5), ...twice.uniform(5)];
  assert.deepEqual([...once.uniform(10)], halves);
});

void test("the start of a permutation is that of the whole one", () => {
  const whole = torchGenerator(777).permutation(1000);
  for (const first of [0, 1, 20, 124, 500, 1000]) {
    assert.deepEqual(torchGenerator(777).permutation(1000, first), whole.slice(0, first));
  }
});
