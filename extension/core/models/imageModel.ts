import type { ModelStack } from "./model.ts";

/**
 * A graph that reads images.
 *
 * Inputs: `pixel_values` [batch, channels, height, width], and those that the layer hook declared.
 * Output: `logits` [batch, 1 or patches, width].
 */
export interface ImageModel extends ModelStack {
  readonly kind: "image";
  readonly channels: number;
  /** [height, width] */
  readonly imageSize: readonly [number, number];
}
