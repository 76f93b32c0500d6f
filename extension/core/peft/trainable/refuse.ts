import { t } from "@vscode/l10n";
import { GraftError, unsupported } from "../../base/errors.ts";

/** Refuses, by name, a field that PEFT trains with and Graft does not. */
export function refuseField(file: string, field: string, peftType: string): never {
  throw unsupported(
    t('{0}: Graft does not train {1} with field "{2}" yet', file, peftType, field),
    t("Leave the field at its default."),
  );
}

/** What is wrong with a field's value. */
export function badField(file: string, field: string, problem: string): GraftError {
  const message = t('{0}: field "{1}" {2}.', file, field, problem);
  return new GraftError("bad-file", message, { file, field });
}
