import * as path from "node:path";
import { asGraftError } from "../core/base/errors.ts";

/** What an error says of a folder's file, without the folder: its reader knows that. */
export function problemIn(folder: string, error: unknown): string {
  const { message, details } = asGraftError(error);
  // An adapter that finds no place: that it does not fit, and what, is said around it.
  const full = typeof details["why"] === "string" ? details["why"] : message;
  return full.replaceAll(folder + path.sep, "").replaceAll(`${folder} `, "");
}
