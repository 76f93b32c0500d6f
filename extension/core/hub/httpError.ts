import { t } from "@vscode/l10n";
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
  const { repo = t("the Hub") } = about;
  const details = { status, url: bareUrl(refusal.url), repo: about.repo, errorCode: code };
  if (code === "GatedRepo") return gatedError(settings, repo, details);
  if (code === "DisabledRepo") return unsupported(t("{0} has been disabled on the Hub", repo));
  if (status === 401) return unauthorizedError(settings, about, details);
  if (status === 404) return missing(code, about, settings);
  const said = serverSays(refusal, settings);
  if (status === 403) {
    const remedy =
      settings.token === null
        ? t("Sign in or set HF_TOKEN.")
        : t("Use a token that may do this, or ask the owner for access.");
    return unauthorized(t("{0}: the Hub forbids this (403{1}). {2}", repo, said, remedy), details);
  }
  if (status >= 500) {
    const what = t("{0}: the Hub fails ({1}{2})", nameOf(about), status, said);
    return unreachable(t("{0}. Try again in a few minutes.", what), details);
  }
  return badRequest(t("{0}: the Hub refuses this ({1}{2}).", nameOf(about), status, said));
}

type Details = Record<string, unknown>;

function gatedError(settings: HubSettings, repo: string, details: Details): GraftError {
  const page = `${settings.endpoint}/${repo}`;
  const then =
    settings.token === null
      ? t("then sign in, or set HF_TOKEN to a token of that account")
      : t(
          "with the account that the token belongs to, which may have to wait for the owner's consent",
        );
  return gated(t("{0} is gated: accept the terms at {1}, {2}.", repo, page, then), {
    ...details,
    page,
  });
}

function unauthorizedError(settings: HubSettings, about: Subject, details: Details): GraftError {
  const { repo = t("The Hub") } = about;
  if (settings.token !== null) {
    const where = `${settings.endpoint}/settings/tokens`;
    return unauthorized(
      t(
        "{0}: the Hub does not take the token (401); it may have expired or been revoked. Sign in again with a token from {1}.",
        repo,
        where,
      ),
      { ...details, hadToken: true },
    );
  }
  return unauthorized(
    t(
      "{0} is private or does not exist (401). Check its name; if it is private, sign in or set HF_TOKEN.",
      repo,
    ),
    { ...details, hadToken: false },
  );
}

function missing(code: string, about: Subject, settings: HubSettings): GraftError {
  const { repo = "", revision, file } = about;
  if (code === "RevisionNotFound") {
    const where = t("{0} of {1}", revision ?? "main", repo);
    return notFound(t("Revision"), where, t("Choose a branch, tag or commit that it has."));
  }
  if (code === "EntryNotFound" || (code === "" && file !== undefined)) {
    return notFound(
      t("File"),
      t("{0} in {1}{2}", file ?? "", repo, revision ? t(" at {0}", revision) : ""),
    );
  }
  const access =
    settings.token === null ? t("sign in or set HF_TOKEN") : t("ask its owner for access");
  return notFound(
    t("Repository"),
    t("{0} on {1}", repo, settings.endpoint),
    t("Check its name; if it is private, {0}.", access),
  );
}

/** "owner/name at main: model.safetensors". */
export function nameOf({ repo, revision, file }: Subject): string {
  const at = revision === undefined ? "" : t(" at {0}", revision);
  const what = repo === undefined ? t("The Hub") : `${repo}${at}`;
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
