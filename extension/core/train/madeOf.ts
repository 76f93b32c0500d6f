/** What a run is made of, kept in its checkpoints: whoever goes on from one is made of the same. */
import { t } from "@vscode/l10n";
import { createHash } from "node:crypto";
import { z } from "zod";
import { misfit } from "../base/errors.ts";
import { type AdapterConfig } from "../checkpoint/adapterConfig.ts";
import type { BaseCheckpoint } from "../checkpoint/baseCheckpoint.ts";
import { checksums } from "../safetensors/checksums.ts";
import type { TrainingOptions } from "./options.ts";

export const madeOf = z.object({
  /** Of the base's config and weights. */
  base: z.string(),
  /** Of the texts as they are fed; null where nobody has said. */
  data: z.string().nullable(),
  /** What decides in which order texts come. */
  order: z.record(z.string(), z.union([z.number(), z.boolean()])),
});

export type MadeOf = z.output<typeof madeOf>;

/** Tells nothing of what is computed. */
const silentFields = ["_name_or_path", "transformers_version"];

/** A base by its config and pieces of its weights, wherever it lies. */
export async function baseIdentity({ config, files }: BaseCheckpoint): Promise<string> {
  const told = Object.entries(config.raw).filter(([name]) => !silentFields.includes(name));
  const hash = createHash("sha256").update(JSON.stringify(told.sort()));
  for (const file of files) {
    hash.update(JSON.stringify({ size: file.size, ...(await checksums(file)) }));
  }
  return hash.digest("hex");
}

export function orderOf(options: TrainingOptions): MadeOf["order"] {
  const { batchSize, gradientAccumulation, groupByLength, shuffle } = options;
  return { batchSize, gradientAccumulation, groupByLength, shuffle };
}

/**
 * Holds what a checkpoint was made of against what a run has now.
 * @returns sentences on texts that come in another order
 * @throws misfit, naming the base or the data, where they are no longer the same
 */
export function compareMadeOf(
  before: MadeOf,
  now: MadeOf,
  names: { checkpoint: string; base: string; data: string | undefined },
): string[] {
  const { checkpoint } = names;
  if (before.base !== now.base) {
    throw misfit(
      t(
        "{0} was trained on another base than {1} is now: its config or its weights were changed. Put back what was there, or train the checkpoint's adapter on in a new run.",
        checkpoint,
        names.base,
      ),
      { changed: "base" },
    );
  }
  if (before.data !== null && now.data !== null && before.data !== now.data) {
    throw misfit(
      t(
        "The training data is not what {0} was trained on: {1} or how it is read was changed. Put back what was there, or train the checkpoint's adapter on in a new run.",
        checkpoint,
        names.data ?? t("its texts"),
      ),
      { changed: "data" },
    );
  }
  return Object.entries(now.order).flatMap(([name, value]) => {
    const old = before.order[name];
    if (old === undefined || old === value) return [];
    return t(
      "{0} was trained with {1} {2}, this run has {3}: its texts come in another order from here on.",
      checkpoint,
      name,
      String(old),
      String(value),
    );
  });
}

/** Where they lie, not what they are. */
const placeFields = ["base_model_name_or_path", "inference_mode", "revision"];

/** @throws misfit with the fields in which a checkpoint's config is another than the run's */
export function compareConfigs(
  saved: AdapterConfig,
  own: AdapterConfig,
  { checkpoint, changing }: { checkpoint: string; changing: readonly string[] },
): void {
  const names = new Set([...Object.keys(saved.raw), ...Object.keys(own.raw)]);
  const free = [...placeFields, ...changing];
  const others = [...names].filter(
    (name) => !free.includes(name) && shown(saved.raw[name]) !== shown(own.raw[name]),
  );
  if (others.length === 0) return;
  const told = others.map((name) =>
    t("{0} was {1} and is {2}", name, shown(saved.raw[name]), shown(own.raw[name])),
  );
  throw misfit(
    t(
      "{0} was trained with another config: {1}. Put back what was there, or train its adapter on in a new run.",
      checkpoint,
      told.join("; "),
    ),
    { changed: "config", fields: others },
  );
}

function shown(value: unknown): string {
  return JSON.stringify(value ?? null);
}
