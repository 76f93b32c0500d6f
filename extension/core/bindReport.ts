import { t } from "@vscode/l10n";
import { GraftError, misfit } from "./base/errors.ts";
import { bindReasons } from "./bindReasons.ts";
import type { AdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import { type BindReport, commonFields, type Method, type MethodBase } from "./peft/method.ts";
import { namesSome } from "./peft/names.ts";

/**
 * The proof that an adapter finds its place: refuses one that binds nothing, and a partial one unless
 * that was agreed to.
 * @returns sentences on what PEFT passes over: what was left out and why, unknown fields
 */
export function proveBind(
  checkpoint: AdapterCheckpoint,
  report: BindReport,
  at: { method: Method; base: MethodBase; allowPartial: boolean },
): string[] {
  const { method, base, allowPartial } = at;
  checkReport(checkpoint, report, { base, allowPartial });
  return [
    ...checkpoint.notes,
    ...fieldWarnings(checkpoint, method),
    ...bindWarnings(report),
    ...bindReasons(checkpoint, report, base),
  ];
}

/** Refuses an adapter that binds nothing, and a partial one unless that was agreed to. */
export function checkReport(
  checkpoint: AdapterCheckpoint,
  report: BindReport,
  { base, allowPartial }: { base: MethodBase; allowPartial: boolean },
): void {
  const { dir, config } = checkpoint;
  const { bound, total, unbound, unexpected } = report;
  const warnings = bindWarnings(report);
  if (bound.length > 0 && (warnings.length === 0 || allowPartial)) return;
  const reasons = bindReasons(checkpoint, report, base);
  const details = { file: config.file, bound: bound.length, total, unbound, unexpected, reasons };
  if (bound.length === 0) {
    const trained = config.baseName ? [t("It was trained on {0}.", config.baseName)] : [];
    const what = t("{0} does not fit this base: 0 of {1} modules bound.", dir, total);
    const saysBase = trained.length > 0;
    // For those who have named adapter and base already.
    const why = [t("0 of {0} modules bound.", total), ...reasons, ...trained].join(" ");
    throw misfit([what, ...reasons, ...trained].join(" "), { ...details, saysBase, why });
  }
  const what = t("{0}: {1} of {2} modules bound.", dir, bound.length, total);
  throw new GraftError("partial-bind", [what, ...warnings, ...reasons].join(" "), details);
}

/** Fields that this version does not know are kept and named; they may matter. */
export function fieldWarnings(
  { config }: Pick<AdapterCheckpoint, "config">,
  method: Method,
): string[] {
  const unknown = Object.keys(config.raw).filter(
    (field) => !(field in method.fields) && !(field in commonFields),
  );
  const warnings: string[] = [];
  if (unknown.length > 0) {
    warnings.push(t("The config has fields that Graft does not know: {0}.", namesSome(unknown)));
  }
  if ("runtime_config" in config.raw) {
    warnings.push(
      t('Field "runtime_config" is passed over: it is for running models, not for files.'),
    );
  }
  return warnings;
}

/** Sentences on what found no place; none when all did. */
export function bindWarnings({ unbound, unexpected }: BindReport): string[] {
  const warnings: string[] = [];
  if (unbound.length > 0) {
    warnings.push(
      t("Targeted modules without tensors stay as in the base: {0}.", namesSome(unbound)),
    );
  }
  if (unexpected.length > 0) {
    warnings.push(
      t("Tensors that no targeted module takes are left out: {0}.", namesSome(unexpected)),
    );
  }
  return warnings;
}
