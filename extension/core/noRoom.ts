import { diskFull, type GraftError } from "./base/errors.ts";
import { showBytes } from "./base/progress.ts";

/** A volume without room for the weights that are to be written there. Sizes in bytes. */
export function noRoom(
  folder: string,
  { needed, free }: { needed: number; free?: number },
): GraftError {
  const room = free === undefined ? "" : `, ${showBytes(free)} are free`;
  return diskFull(
    `${folder}: the disk is full. ${showBytes(needed)} are needed${room}. ` +
      "Free some space, or choose a folder on another volume.",
    { folder, needed, ...(free !== undefined && { free }) },
  );
}
