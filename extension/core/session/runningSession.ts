import { t } from "@vscode/l10n";
import { badRequest } from "../base/errors.ts";
import type { Model } from "../models/model.ts";
import type { AdapterInputs } from "./adapterInputs.ts";
import type { DeviceReport } from "./devices.ts";
import type { Tensor } from "./ortSession.ts";

/** Rows [batch][seq] of one length that a model reads at once. */
export interface TokenBatch {
  readonly kind: "tokens";
  readonly ids: readonly (readonly number[])[];
  /** Per row and token 1 is real and 0 padding; all real when absent. */
  readonly attentionMask?: readonly Uint8Array[] | undefined;
  /** Segment of each token, where the model has segments; 0 when absent. */
  readonly tokenTypes?: readonly (readonly number[])[] | undefined;
  /** What a decoder is given where an encoder reads `ids`: the answer so far, one length for all rows. */
  readonly decoderIds?: readonly (readonly number[])[] | undefined;
}

/** Images of one size, as a model's preprocessing leaves them. */
export interface PixelBatch {
  readonly kind: "pixels";
  /** Row-major. */
  readonly values: Float32Array;
  /** [batch, channels, height, width] */
  readonly shape: readonly [number, number, number, number];
}

/** What a model reads at once. */
export type Batch = TokenBatch | PixelBatch;

/** What a model's head says of a batch. */
export interface HeadOutput {
  /** Row-major. */
  readonly data: Float32Array;
  /** [batch, 1 or tokens, width]; tokens include an adapter's virtual ones in front. */
  readonly shape: readonly [number, number, number];
}

/** A session of any kind, as those see it who keep sessions, and who ask a head in one pass. */
export interface RunningSession {
  readonly model: Model;
  /** Where it runs. */
  readonly device: DeviceReport;
  /** What the head says of whole sequences, remembering nothing. */
  predict(batch: Batch, adapters: AdapterInputs): Promise<HeadOutput>;
  dispose(): Promise<void>;
}

/** A batch as tokens. @throws bad-request for images */
export function tokensOf(batch: Batch): TokenBatch {
  if (batch.kind === "tokens") return batch;
  throw badRequest(t("This base reads text, not images."));
}

/** A batch as images. @throws bad-request for tokens */
export function pixelsOf(batch: Batch): PixelBatch {
  if (batch.kind === "pixels") return batch;
  throw badRequest(t("This base reads images, not text."));
}

/** A head's output as the binding hands it out. */
export function headOutput({ data, dims }: Tensor): HeadOutput {
  const [batch = 0, rows = 0, width = 0] = dims;
  return { data: data as Float32Array, shape: [batch, rows, width] };
}
