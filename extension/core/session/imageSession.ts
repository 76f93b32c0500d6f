import { t } from "@vscode/l10n";
import { badRequest, unsupported } from "../base/errors.ts";
import type { ImageModel } from "../models/imageModel.ts";
import type { AdapterInputs } from "./adapterInputs.ts";
import type { DeviceReport } from "./devices.ts";
import { float32Tensor, OrtSession, type SessionOptions, type Tensor } from "./ortSession.ts";
import {
  type Batch,
  type HeadOutput,
  headOutput,
  type PixelBatch,
  pixelsOf,
  type RunningSession,
} from "./runningSession.ts";

/** Runs a model that reads images. */
export class ImageSession implements RunningSession {
  private turn: Promise<unknown> = Promise.resolve();

  private constructor(
    readonly model: ImageModel,
    private readonly session: OrtSession,
  ) {}

  static async create(model: ImageModel, options?: SessionOptions): Promise<ImageSession> {
    return new ImageSession(model, await OrtSession.create(model.graph, options));
  }

  get device(): DeviceReport {
    return this.session.device;
  }

  predict(batch: Batch, adapters: AdapterInputs): Promise<HeadOutput> {
    const run = this.turn.then(async () => {
      const images = pixelsOf(batch);
      this.check(images, adapters);
      const feeds = {
        ...Object.fromEntries(adapters.tensors),
        pixel_values: float32Tensor(images.values, images.shape),
      };
      const { logits } = await this.session.run(feeds, ["logits"]);
      return headOutput(logits as Tensor);
    });
    this.turn = run.catch(() => undefined);
    return run;
  }

  /** Waits for the run that is under way, then frees the session. */
  async dispose(): Promise<void> {
    await this.turn;
    await this.session.dispose();
  }

  private check({ shape }: PixelBatch, adapters: AdapterInputs): void {
    const [batch, channels, height, width] = shape;
    const { imageSize, channels: wanted } = this.model;
    if (channels !== wanted || height !== imageSize[0] || width !== imageSize[1]) {
      throw badRequest(
        t(
          "The model reads images of {0} × {1}, this one is {2} × {3} × {4}.",
          wanted,
          imageSize.join(" × "),
          channels,
          height,
          width,
        ),
      );
    }
    if (adapters.rows > 1 && adapters.rows !== batch) {
      throw badRequest(
        t("The adapters are given for {0} rows, the batch has {1}.", adapters.rows, batch),
      );
    }
    if (adapters.virtualTokens > 0 || adapters.cachePrefix || adapters.router) {
      throw unsupported(t("Adapters of this kind go with models that read text"));
    }
  }
}
