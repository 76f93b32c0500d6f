import { t } from "@vscode/l10n";
import type { Column } from "../protocol/playgroundContract.ts";

/** "base", "pirate", "pirate + json". */
export function columnTitle({ adapters }: Column): string {
  return adapters.map(({ name }) => name).join(" + ") || t("base");
}
