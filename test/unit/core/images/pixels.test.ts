import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test, type TestContext } from "node:test";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { readPixels } from "../../../../extension/core/images/pixels.ts";
import { decodePng } from "../../../../extension/core/images/png.ts";
import { resizeImage } from "../../../../extension/core/images/resize.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import { difference, failure, fixtures, temporaryFolder } from "../support.ts";

/** An image of 23 × 17 in several kinds of PNG, and what PIL and ViTImageProcessor make of it. */
const truths = JSON.parse(
  await readFile(path.join(import.meta.dirname, "images.json"), "utf8"),
) as Record<string, string>;

function bytesOf(name: string): Buffer {
  return Buffer.from(truths[name] ?? assert.fail(name), "base64");
}

for (const [png, rgb] of [
  ["png", "rgb"],
  ["rgba", "rgb"],
  ["palette", "paletteRgb"],
  ["gray", "grayRgb"],
] as const) {
  void test(`a PNG (${png}) has PIL's pixels`, () => {
    const { width, height, values } = decodePng(bytesOf(png), "a.png");
    assert.deepEqual([width, height], [23, 17]);
    assert.equal(difference(values, bytesOf(rgb)), 0);
  });
}

for (const resample of ["bilinear", "bicubic"] as const) {
  for (const size of [8, 32]) {
    void test(`${resample} to ${size} × ${size} is PIL's`, () => {
      const image = decodePng(bytesOf("png"), "a.png");
      const resized = resizeImage(image, [size, size], resample);
      assert.equal(difference(resized.values, bytesOf(`${resample}-${size}`)), 0);
    });
  }
}

async function imageFile(t: TestContext, content: Buffer): Promise<string> {
  const file = path.join(await temporaryFolder(t), "a.png");
  await writeFile(file, content);
  return file;
}

void test("pixels are ViTImageProcessor's", async (t) => {
  const file = await imageFile(t, bytesOf("png"));
  const config = {
    ...{ size: { height: 8, width: 8 }, resample: 3 },
    ...{ image_mean: [0.4, 0.5, 0.6], image_std: [0.2, 0.3, 0.25] },
  };
  const dir = path.dirname(file);
  await writeFile(path.join(dir, "preprocessor_config.json"), JSON.stringify(config));
  const { values } = await readPixels(file, { dir, imageSize: [16, 16] });
  const truth = bytesOf("vit");
  const expected = new Float32Array(Uint8Array.from(truth).buffer);
  assert(difference(values, expected) < 1e-5);
});

void test("what is no PNG, cut off or not there is refused by name", async (t) => {
  const model = { dir: fixtures, imageSize: [8, 8] as const };
  const other = await imageFile(t, Buffer.from("GIF89a"));
  await assert.rejects(readPixels(other, model), failure("unsupported", "a.png", "PNG"));
  const cut = await imageFile(t, bytesOf("png").subarray(0, 100));
  await assert.rejects(readPixels(cut, model), failure("bad-file", "a.png"));
  const none = path.join(path.dirname(cut), "none.png");
  await assert.rejects(readPixels(none, model), failure("not-found", "none.png"));
});

void test("an image model labels a file, and wants no text", async (t) => {
  const folder = path.join(await temporaryFolder(t), "vit");
  await cp(path.join(fixtures, "models/vit"), folder, { recursive: true });
  const model = new PeftModel(await loadBaseModel(folder));
  t.after(() => model.dispose());
  const [found] = await model.predict([{ image: await imageFile(t, bytesOf("png")) }]);
  assert(found?.task === "image-classification");
  const sum = found.scores.reduce((all, { score }) => all + score, 0);
  assert(found.scores.length === 4 && Math.abs(sum - 1) < 1e-6);
  await assert.rejects(model.predict(["a cat"]), failure("bad-request", "images"));
});
