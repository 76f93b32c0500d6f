import { t } from "@vscode/l10n";
import { diskFull, type GraftError } from "./base/errors.ts";
import { showBytes } from "./base/progress.ts";

/** A volume without room for the weights that are to be written there. Sizes in bytes. */
export function noRoom(
  folder: string,
  { needed, free }: { needed: number; free?: number },
): GraftError {
  const room = free === undefined ? "" : t(", {0} are free", showBytes(free));
  return diskFull(
    t(
      "{0}: the disk is full. {1} are needed{2}. Free some space, or choose a folder on another volume.",
      folder,
      showBytes(needed),
      room,
    ),
    { folder, needed, ...(free !== undefined && { free }) },
  );
}
