import * as path from "node:path";
import { asGraftError } from "../core/base/errors.ts";

/** The message of an error about a folder's file, without the folder: its reader knows that. */
export function problemIn(folder: string, error: unknown): string {
  return asGraftError(error)
    .message.replaceAll(folder + path.sep, "")
    .replaceAll(`${folder} `, "");
}
