import {
  badRequest,
  gated,
  type GraftError,
  notFound,
  unauthorized,
  unreachable,
  unsupported,
} from "../base/errors.ts";
import { isObject } from "../base/json.ts";
import type { HubSettings } from "./settings.ts";

/** What a request is about, for its errors. */
export interface Subject {
  /** "owner/name". */
  readonly repo?: string | undefined;
  readonly revision?: string | undefined;
  readonly file?: string | undefined;
}

/** An answer that is no success, with the start of its text. */
export interface Refusal {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly url: string;
}

/** The error that an answer of the Hub stands for: huggingface_hub's hf_raise_for_status. */
export function httpError(settings: HubSettings, refusal: Refusal, about: Subject): GraftError {
  const { status, headers } = refusal;
  const code = headers.get("x-error-code") ?? "";
  const { repo = "the Hub" } = about;
  const details = { status, url: bareUrl(refusal.url), repo: about.repo, errorCode: code };
  if (code === "GatedRepo") return gatedError(settings, repo, details);
  if (code === "DisabledRepo") return unsupported(`${repo} has been disabled on the Hub`);
  if (status === 401) return unauthorizedError(settings, about, details);
  if (status === 404) return missing(code, about, settings);
  const said = serverSays(refusal, settings);
  if (status === 403) {
    const remedy =
      settings.token === null
        ? "Sign in or set HF_TOKEN."
        : "Use a token that may do this, or ask the owner for access.";
    return unauthorized(`${repo}: the Hub forbids this (403${said}). ${remedy}`, details);
  }
  if (status >= 500) {
    const what = `${nameOf(about)}: the Hub fails (${status}${said})`;
    return unreachable(`${what}. Try again in a few minutes.`, details);
  }
  return badRequest(`${nameOf(about)}: the Hub refuses this (${status}${said}).`);
}

type Details = Record<string, unknown>;

function gatedError(settings: HubSettings, repo: string, details: Details): GraftError {
  const page = `${settings.endpoint}/${repo}`;
  const then =
    settings.token === null
      ? "then sign in, or set HF_TOKEN to a token of that account"
      : "with the account that the token belongs to, which may have to wait for the owner's consent";
  return gated(`${repo} is gated: accept the terms at ${page}, ${then}.`, { ...details, page });
}

function unauthorizedError(settings: HubSettings, about: Subject, details: Details): GraftError {
  const { repo = "The Hub" } = about;
  if (settings.token !== null) {
    const where = `${settings.endpoint}/settings/tokens`;
    return unauthorized(
      `${repo}: the Hub does not take the token (401); it may have expired or been revoked. ` +
        `Sign in again with a token from ${where}.`,
      { ...details, hadToken: true },
    );
  }
  return unauthorized(
    `${repo} is private or does not exist (401). Check its name; if it is private, sign in or set HF_TOKEN.`,
    { ...details, hadToken: false },
  );
}

function missing(code: string, about: Subject, settings: HubSettings): GraftError {
  const { repo = "", revision, file } = about;
  if (code === "RevisionNotFound") {
    const where = `${revision ?? "main"} of ${repo}`;
    return notFound("Revision", where, "Choose a branch, tag or commit that it has.");
  }
  if (code === "EntryNotFound" || (code === "" && file !== undefined)) {
    return notFound("File", `${file ?? ""} in ${repo}${revision ? ` at ${revision}` : ""}`);
  }
  const access = settings.token === null ? "sign in or set HF_TOKEN" : "ask its owner for access";
  return notFound(
    "Repository",
    `${repo} on ${settings.endpoint}`,
    `Check its name; if it is private, ${access}.`,
  );
}

/** "owner/name at main: model.safetensors". */
export function nameOf({ repo, revision, file }: Subject): string {
  const at = revision === undefined ? "" : ` at ${revision}`;
  const what = repo === undefined ? "The Hub" : `${repo}${at}`;
  return file === undefined ? what : `${what}: ${file}`;
}

/** The server's own words, bounded, on one line, without the token that it may have echoed. */
function serverSays({ headers, text }: Refusal, settings: HubSettings): string {
  const own = headers.get("x-error-message") ?? errorField(text) ?? "";
  const line = withoutToken(own, settings).replace(/\s+/g, " ").trim().slice(0, 200);
  return line === "" ? "" : `: ${line}`;
}

function errorField(text: string): string | null {
  try {
    const json: unknown = JSON.parse(text);
    const error = isObject(json) ? (json["error"] ?? json["message"]) : null;
    return typeof error === "string" ? error : null;
  } catch {
    return null;
  }
}

/** Text that may be shown: a token in it, whosever, is blotted out. */
export function withoutToken(text: string, { token }: Pick<HubSettings, "token">): string {
  const own = token === null ? text : text.replaceAll(token, "***");
  return own.replace(/\bhf_[A-Za-z0-9]{8,}/g, "***");
}

/** An address without its query, which on the CDN is a signature. */
export function bareUrl(text: string): string {
  if (!URL.canParse(text)) return "";
  const url = new URL(text);
  return `${url.origin}${url.pathname}`;
}
