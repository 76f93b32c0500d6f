/** Covariances of what layers read, over texts one by one (PEFT tuners/lora/corda.py). */
import { t } from "@vscode/l10n";
import { badRequest } from "../../base/errors.ts";
import { pause } from "../../base/pause.ts";
import type { OnProgress } from "../../base/progress.ts";
import type { SessionOptions } from "../../session/ortSession.ts";
import type { EpochPlan } from "../data/batch.ts";
import { addFinite } from "./addFinite.ts";
import { inParts } from "./inParts.ts";
import { InputSessions, type ObservedModel, placesOf, type SharedInput } from "./layerInputs.ts";

/** Texts that PEFT's notes call enough. */
export const cordaTexts = 256;

export interface CovarianceOptions {
  /** One text a batch. */
  readonly plan: EpochPlan;
  readonly session?: SessionOptions | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Sums for a few layers at a time: as many as there is room for beside the base. */
export class Covariances {
  private readonly parts: readonly (readonly SharedInput[])[];
  private made = new Map<string, Float32Array>();
  private done = 0;

  constructor(
    private readonly model: ObservedModel,
    private readonly options: CovarianceOptions,
  ) {
    // The sum, and what the run gives back.
    this.parts = inParts(model.inputs, ({ size }) => 8 * size * size);
  }

  /** [in, in] */
  async of(path: string): Promise<Float32Array> {
    const known = this.made.get(path);
    if (known) return known;
    const part = this.parts.find((each) => each.some(({ paths }) => paths.includes(path)));
    if (!part) throw new Error(`${path} is not among the layers that are looked at`);
    this.made = await this.measure(part);
    return this.made.get(path) as Float32Array;
  }

  private async measure(part: readonly SharedInput[]): Promise<Map<string, Float32Array>> {
    const { plan, session, onProgress, signal } = this.options;
    const texts = Math.min(plan.batches, cordaTexts);
    const sums = part.map(({ size }) => new Float32Array(size * size));
    const sessions = new InputSessions(this.model, { observation: "covariance", session });
    try {
      const own = await sessions.for(part);
      for (let i = 0; i < texts; i++) {
        await pause(signal);
        const { inputs } = this.model;
        const share = Math.floor(this.done + (part.length * i) / texts);
        onProgress?.({ step: t("Preparing {0}: {1} of {2}", "CorDA", share, inputs.length) });
        const batch = plan.batch(i);
        const found = await own.run(batch, placesOf(batch));
        found.forEach((values, at) => addTo(sums[at] as Float32Array, values, part[at]));
      }
    } finally {
      await sessions.dispose();
    }
    this.done += part.length;
    for (const sum of sums)
      for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) / texts;
    return new Map(
      part.flatMap(({ paths }, i) => paths.map((path) => [path, sums[i] as Float32Array] as const)),
    );
  }
}

function addTo(sum: Float32Array, values: Float32Array, input: SharedInput | undefined): void {
  if (addFinite(sum, values)) return;
  throw badRequest(t("CorDA: what {0} reads holds NaN or infinite values.", input?.paths[0] ?? ""));
}
