/** An image's file as a model reads it: what transformers' ViTImageProcessor makes of it. */
import { t } from "@vscode/l10n";
import { readFile, stat } from "node:fs/promises";
import * as path from "node:path";
import { z } from "zod";
import { badRequest, notFound, unsupported } from "../base/errors.ts";
import { isFile } from "../base/files.ts";
import { parseFields, readJsonObject } from "../base/json.ts";
import { decodePng, isPng } from "./png.ts";
import { type Resample, resizeImage, type RgbImage } from "./resize.ts";

const side = z.int().positive();
const half = [0.5, 0.5, 0.5];
const three = z
  .union([z.number(), z.array(z.number()).length(3)])
  .transform((value) => (typeof value === "number" ? [value, value, value] : value));

const fields = z.looseObject({
  do_resize: z.boolean().nullish(),
  size: z
    .union([
      side.transform((value) => ({ height: value, width: value })),
      z.looseObject({ height: side, width: side }),
    ])
    .nullish(),
  resample: z.int().nullish(),
  do_rescale: z.boolean().nullish(),
  rescale_factor: z.number().nullish(),
  do_normalize: z.boolean().nullish(),
  image_mean: three.nullish(),
  image_std: three.nullish(),
  do_center_crop: z.literal(false, t("Graft crops no images yet.")).nullish(),
});

/** PIL's numbers of its filters. */
const filters: Readonly<Record<number, Resample>> = { 2: "bilinear", 3: "bicubic" };

/** A photo of 100 megapixels is smaller. */
const mostBytes = 2 ** 28;

/**
 * @param model the model's folder, whose preprocessor_config.json counts, and its [height, width]
 * @returns [3, height, width] values, row-major
 * @throws not-found, bad-file or unsupported, naming the file
 */
export async function readPixels(
  image: string,
  model: { dir: string; imageSize: readonly [number, number] },
): Promise<{ values: Float32Array; height: number; width: number }> {
  const file = path.join(model.dir, "preprocessor_config.json");
  const raw = (await isFile(file)) ? await readJsonObject(file) : {};
  const c = parseFields(fields, raw, file);
  const [height, width] = c.size ? [c.size.height, c.size.width] : model.imageSize;
  const resample = filters[c.resample ?? 2];
  if (!resample) {
    throw unsupported(
      t("{0}: Graft does not resize with filter {1}", file, String(c.resample)),
      t("2 and 3 it has."),
    );
  }
  const stored = await readImage(image);
  const sized = c.do_resize === false ? stored : resizeImage(stored, [height, width], resample);
  const factor = c.do_rescale === false ? 1 : (c.rescale_factor ?? 1 / 255);
  const isNormal = c.do_normalize !== false;
  const mean = isNormal ? (c.image_mean ?? half) : [0, 0, 0];
  const std = isNormal ? (c.image_std ?? half) : [1, 1, 1];
  const count = sized.width * sized.height;
  const values = Float32Array.from({ length: 3 * count }, (_, i) => {
    const channel = Math.floor(i / count);
    const value = (sized.values[(i % count) * 3 + channel] as number) * factor;
    return (value - (mean[channel] as number)) / (std[channel] as number);
  });
  return { values, height: sized.height, width: sized.width };
}

async function readImage(file: string): Promise<RgbImage> {
  if (!(await isFile(file))) throw notFound(t("Image"), file, t("Choose a PNG file."));
  if ((await stat(file)).size > mostBytes)
    throw badRequest(t("{0} is too large for an image.", file));
  const bytes = await readFile(file);
  if (isPng(bytes)) return decodePng(bytes, file);
  throw unsupported(
    t("{0} is no PNG, the one format of images that Graft reads", file),
    t("Save it as PNG."),
  );
}
