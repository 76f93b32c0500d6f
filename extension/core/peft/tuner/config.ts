import { t } from "@vscode/l10n";
import { z } from "zod";
import { GraftError } from "../../base/errors.ts";
import type { AdapterConfig } from "../../checkpoint/adapterConfig.ts";
import { matchPattern, type TargetFields } from "../../checkpoint/targets.ts";
import type { FieldInfo, MethodBase } from "../method.ts";
import type { Tuner } from "./tuner.ts";

const allLinear = "all-linear";

const names = z.union(
  [z.string(), z.array(z.string())],
  t("It must be a string or a list of strings."),
);
/** PEFT knows "all-linear" in any case. */
const targetNames = names
  .nullish()
  .transform((value) =>
    typeof value === "string" && value.toLowerCase() === allLinear ? allLinear : (value ?? null),
  );
const optionalNames = names.nullish().transform((value) => value ?? null);
const indices = z.union(
  [z.int(), z.array(z.int())],
  t("It must be a layer index or a list of them."),
);

/** The fields by which every tuner chooses modules; a method's schema extends them. */
export const tunerFields = {
  target_modules: targetNames,
  exclude_modules: optionalNames,
  layers_to_transform: indices.nullish().transform((value) => value ?? null),
  layers_pattern: optionalNames,
  modules_to_save: z
    .array(z.string())
    .nullish()
    .transform((value) => value ?? []),
  bias: z
    .string()
    .nullish()
    .transform((value) => value ?? "none"),
};

const tunerSchema = z.looseObject(tunerFields);

export type TunerConfig = z.infer<typeof tunerSchema>;

/** A field that must be a whole number of at least 1. */
export const wholeNumber = z
  .int(t("It must be a whole number."))
  .positive(t("It must be at least 1."));

/** The rank of one module: its own where a pattern names it; the first match counts. */
export function rankOf(
  path: string,
  { r, rank_pattern: patterns }: { r: number; rank_pattern: Readonly<Record<string, number>> },
  file: string,
): number {
  return matchPattern(patterns, path, { field: "rank_pattern", file }) ?? r;
}

/** Meanings of the shared fields, for forms. */
export const tunerFieldInfo: Readonly<Record<string, FieldInfo>> = {
  target_modules: {
    default: null,
    meaning: t("Modules that carry an update: names, a regex or all-linear."),
  },
  exclude_modules: { default: null, meaning: t("Modules left out although they are targeted.") },
  layers_to_transform: { default: null, meaning: t("Only these layers carry an update.") },
  layers_pattern: {
    default: null,
    meaning: t("Name of the list of layers that the indices refer to."),
  },
  modules_to_save: {
    default: null,
    meaning: t("Modules that were trained whole and are stored whole."),
  },
};

/** Fields that exclude each other or need each other, as PEFT checks them. */
export function checkCombinations(fields: TunerConfig, file: string): void {
  const fail = (field: string, problem: string): Error =>
    new GraftError("bad-file", t('{0}: field "{1}" {2}.', file, field, problem), { file, field });
  if (typeof fields.target_modules === "string" && fields.target_modules !== "all-linear") {
    for (const field of ["layers_to_transform", "layers_pattern"] as const) {
      if (fields[field] !== null) {
        throw fail(field, t('cannot be used with target_modules "{0}"', fields.target_modules));
      }
    }
  }
  if (fields.layers_pattern?.length && fields.layers_to_transform === null) {
    throw fail("layers_pattern", t("needs layers_to_transform beside it"));
  }
}

/** Dropout has no effect on answers, but PEFT makes its layer when it loads, and that refuses what is no share. */
export function checkDropout(
  known: Readonly<Record<string, FieldInfo>>,
  { raw, file }: AdapterConfig,
): void {
  for (const field of Object.keys(known).filter((name) => name.endsWith("dropout"))) {
    const value = raw[field];
    if (value === undefined || (typeof value === "number" && value <= 1)) continue;
    if (value === null && dropsInTrainingAlone.has(field)) continue;
    throw new GraftError(
      "bad-file",
      t('{0}: field "{1}" {2}.', file, field, t("must be a number of at most 1, as PEFT wants it")),
      { file, field },
    );
  }
}

/** Fields that PEFT does not look at when it loads. */
const dropsInTrainingAlone = new Set(["rank_dropout", "module_dropout"]);

/** What the config targets; PEFT's default for the family where it names nothing. */
export function targetFields<C extends TunerConfig>(
  tuner: Tuner<C>,
  fields: C,
  { file, base }: { file: string; base: MethodBase },
): TargetFields {
  const others = tuner.parameters?.names(fields) ?? [];
  const own = fields.target_modules ?? tuner.defaultTargets(base.modelType);
  const targets = own ?? (others.length > 0 ? [] : null);
  if (targets === null || (targets.length === 0 && others.length === 0)) {
    throw new GraftError("bad-file", t('{0}: field "target_modules" names no module.', file), {
      file,
      field: "target_modules",
    });
  }
  return {
    file,
    targetModules: targets,
    excludeModules: fields.exclude_modules,
    layersToTransform: fields.layers_to_transform,
    layersPattern: fields.layers_pattern,
    modulesToSave: fields.modules_to_save,
  };
}
