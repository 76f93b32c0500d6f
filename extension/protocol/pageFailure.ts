import { asGraftError, type ErrorCode } from "../core/base/errors.ts";

/** What a page shows and decides by when a request to the host fails. */
export function pageFailure(thrown: unknown): { code: ErrorCode; message: string } {
  const { code, message } = asGraftError(thrown);
  return { code, message };
}
