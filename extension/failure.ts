import { t } from "@vscode/l10n";
import type { ErrorCode, GraftError } from "./core/base/errors.ts";

/** What the host reads from a thrown value; the host decides by code, never by message. */
export interface Failure {
  code: ErrorCode;
  message: string;
  details: Readonly<Record<string, unknown>>;
}

export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof Error && "code" in thrown && "details" in thrown) {
    const { code, message, details } = thrown as GraftError;
    return { code, message, details };
  }
  if (thrown instanceof Error && thrown.name === "AbortError") return { ...cancelled };
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return { code: "internal", message, details: {} };
}

/** An error that the host itself throws; same shape as the engine's. */
export class HostError extends Error implements Failure {
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly details: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
    this.name = code === "cancelled" ? "AbortError" : "HostError";
  }
}

const cancelled: Failure = { code: "cancelled", message: t("Cancelled."), details: {} };
