/** Resizing as PIL does it (Pillow, Resample.c): a widened filter along rows, then along columns, in fixed point. */

/** Rows of red, green and blue, 0 to 255. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly values: Uint8Array;
}

export type Resample = "bilinear" | "bicubic";

interface Filter {
  readonly support: number;
  weight(x: number): number;
}

const filters: Readonly<Record<Resample, Filter>> = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  // Keys' cubic with a = -0.5.
  bicubic: {
    support: 2,
    weight: (x) => {
      const d = Math.abs(x);
      if (d < 1) return (1.5 * d - 2.5) * d * d + 1;
      return d < 2 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : 0;
    },
  },
};

/** Bits behind the point of a coefficient. */
const one = 2 ** 22;

interface Taps {
  readonly first: number;
  readonly weights: readonly number[];
}

export function resizeImage(
  image: RgbImage,
  [height, width]: readonly [number, number],
  resample: Resample,
): RgbImage {
  const wide = image.width === width ? image : alongRows(image, width, filters[resample]);
  if (wide.height === height) return wide;
  return transposed(alongRows(transposed(wide), height, filters[resample]));
}

function alongRows(image: RgbImage, width: number, filter: Filter): RgbImage {
  const taps = tapsOf(image.width, width, filter);
  const values = new Uint8Array(width * image.height * 3);
  for (let y = 0; y < image.height; y++) {
    for (const [x, { first, weights }] of taps.entries()) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = one / 2;
        for (const [i, weight] of weights.entries()) {
          sum += weight * (image.values[(y * image.width + first + i) * 3 + channel] as number);
        }
        const rounded = Math.floor(sum / one);
        values[(y * width + x) * 3 + channel] = Math.min(255, Math.max(0, rounded));
      }
    }
  }
  return { width, height: image.height, values };
}

function tapsOf(size: number, wanted: number, filter: Filter): Taps[] {
  const scale = size / wanted;
  const stretch = Math.max(1, scale);
  const support = filter.support * stretch;
  return Array.from({ length: wanted }, (_, x) => {
    const center = (x + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(size, Math.trunc(center + support + 0.5));
    const raw = Array.from({ length: end - first }, (__, i) =>
      filter.weight((i + first - center + 0.5) / stretch),
    );
    const sum = raw.reduce((all, weight) => all + weight, 0);
    const weights = raw.map((weight) => {
      const fixed = (weight / sum) * one;
      return Math.trunc(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
    });
    return { first, weights };
  });
}

function transposed({ width, height, values }: RgbImage): RgbImage {
  const turned = new Uint8Array(values.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++) {
        turned[(x * height + y) * 3 + channel] = values[(y * width + x) * 3 + channel] as number;
      }
    }
  }
  return { width: height, height: width, values: turned };
}
