import { t } from "@vscode/l10n";
/** Every error code that can leave the core. Callers decide by code, never by message. */
export type ErrorCode =
  | "bad-file"
  | "not-found"
  | "unsupported"
  | "misfit"
  | "partial-bind"
  | "lossy-merge"
  | "bad-request"
  | "unauthorized"
  | "gated"
  | "rate-limited"
  | "unreachable"
  | "wrong-bytes"
  | "disk-full"
  | "no-memory"
  | "cancelled"
  | "engine-gone"
  | "internal";

/** An error that a user can act on: what happened, where, what to do. */
export class GraftError extends Error {
  readonly code: ErrorCode;
  /** Facts for a machine: the file, the field, the modules concerned. Plain data only. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, details: Record<string, unknown> = {}) {
    super(message);
    this.name = "GraftError";
    this.code = code;
    this.details = Object.freeze({ ...details });
  }
}

/**
 * What to do where nothing better is known. Asked for when an error is made, so that the language is
 * set by then.
 */
function usualRemedy(code: ErrorCode): string {
  switch (code) {
    case "bad-file":
      return t("Correct the file, or get it again from where it came.");
    case "not-found":
      return t("Check the name and the place.");
    case "unsupported":
      return t("Choose another adapter, base or setting.");
    case "misfit":
      return t("Choose the base that the adapter was made for.");
    case "bad-request":
      return t("Change that and try again.");
    default:
      return "";
  }
}

/** A statement of one clause says what is wrong; what to do is then added. */
function advised(code: ErrorCode, statement: string): string {
  return /[.!?;:] \S/.test(statement) ? statement : join(statement, usualRemedy(code));
}

/** A file that does not hold what its name promises. */
export function badFile(
  file: string,
  problem: string,
  remedy = usualRemedy("bad-file"),
): GraftError {
  return new GraftError("bad-file", join(`${file}: ${problem}`, remedy), { file, problem });
}

/** A file, folder, adapter or model that is not there. */
export function notFound(
  what: string,
  where: string,
  remedy = usualRemedy("not-found"),
): GraftError {
  return new GraftError("not-found", join(t("{0} not found: {1}", what, where), remedy), {
    what,
    where,
  });
}

/** A model that is known by its id alone; the Hub or a download may help, as `details` say. */
export function notOnMachine(message: string, details: Record<string, unknown>): GraftError {
  return new GraftError("not-found", message, details);
}

/** Valid input that Graft cannot run; says so by name. */
export function unsupported(what: string, remedy = ""): GraftError {
  const message = remedy === "" ? advised("unsupported", what) : what;
  return new GraftError("unsupported", join(message, remedy), { what });
}

/** An adapter that does not belong to the base it was given. */
export function misfit(message: string, details: Record<string, unknown> = {}): GraftError {
  return new GraftError("misfit", advised("misfit", message), details);
}

/** A request whose own values are wrong (an unknown adapter name, a negative temperature). */
export function badRequest(message: string, details: Record<string, unknown> = {}): GraftError {
  return new GraftError("bad-request", advised("bad-request", message), details);
}

/** The Hub wants a token, or does not take the one that it was given. */
export function unauthorized(message: string, details: Record<string, unknown>): GraftError {
  return new GraftError("unauthorized", message, details);
}

/** A repository whose terms have to be accepted first. */
export function gated(message: string, details: Record<string, unknown>): GraftError {
  return new GraftError("gated", message, details);
}

/** The Hub asks to wait longer than a request may take. @param seconds null when it does not say */
export function rateLimited(message: string, seconds: number | null): GraftError {
  return new GraftError("rate-limited", message, { seconds });
}

/** No network, offline mode, or a server that fails or falls silent. */
export function unreachable(message: string, details: Record<string, unknown> = {}): GraftError {
  return new GraftError("unreachable", message, details);
}

/** A download that is not what was promised; the wrong bytes are gone by now. */
export function wrongBytes(message: string, details: Record<string, unknown>): GraftError {
  return new GraftError("wrong-bytes", message, details);
}

/** No room for what is to be written; what was there before is as it was. */
export function diskFull(message: string, details: Record<string, unknown>): GraftError {
  return new GraftError("disk-full", message, details);
}

/** More memory than this process can have; the message says what would fit. */
export function noMemory(
  what: string,
  remedy: string,
  details: Record<string, unknown>,
): GraftError {
  return new GraftError("no-memory", join(what, remedy), details);
}

/** The user's own wish to stop. */
export function cancelled(): GraftError {
  return new GraftError("cancelled", t("Cancelled."));
}

/** Throws `cancelled` when the signal has fired; called between the steps of long work. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw cancelled();
}

/** Any thrown value as a GraftError, so that a boundary always has a code to send. */
export function asGraftError(thrown: unknown): GraftError {
  if (thrown instanceof GraftError) return thrown;
  if (thrown instanceof Error && thrown.name === "AbortError") return cancelled();
  if (isNoRoom(thrown)) {
    const { path = "" } = thrown;
    return diskFull(t("There is no room to write {0}. Make room and try again.", path), { path });
  }
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new GraftError("internal", message);
}

/** A disk, or a user's share of it, that is full. */
export function isNoRoom(thrown: unknown): thrown is Error & { code: string; path?: string } {
  const { code } = (thrown ?? {}) as { code?: unknown };
  return code === "ENOSPC" || code === "EDQUOT";
}

function join(statement: string, remedy: string): string {
  const ended = /[.!?]$/.test(statement) ? statement : `${statement}.`;
  return remedy === "" ? ended : `${ended} ${remedy}`;
}
