import { t } from "@vscode/l10n";
/** A few of many names, for a sentence. */
export function namesSome(names: readonly string[], most = 4): string {
  const shown = names.slice(0, most).join(", ");
  return names.length > most ? t("{0} and {1} more", shown, names.length - most) : shown;
}
