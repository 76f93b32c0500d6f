import { t } from "@vscode/l10n";
import { setTimeout as wait } from "node:timers/promises";
import {
  badFile,
  cancelled,
  type GraftError,
  rateLimited,
  throwIfAborted,
  unreachable,
} from "../base/errors.ts";
import { bareUrl, httpError, nameOf, type Subject, withoutToken } from "./httpError.ts";
import type { HubSettings } from "./settings.ts";

export interface RequestOptions {
  readonly about: Subject;
  /** Statuses that the caller deals with itself, beside success. */
  readonly accept?: readonly number[];
  readonly signal?: AbortSignal | undefined;
}

/** Longest wait in seconds that the Hub may ask for before a request gives up. */
const longestWait = 60;
/** A file behind more redirects than this is not found by following. */
const mostRedirects = 10;

/**
 * One request to the Hub. The token goes to the endpoint's own origin and nowhere else: redirects are
 * followed here, one by one. Waits out 429 and passing failures, a bounded number of times.
 * @throws unauthorized, gated, not-found, rate-limited, unreachable or cancelled
 */
export async function hubRequest(
  settings: HubSettings,
  url: string,
  { init = {}, ...options }: RequestOptions & { init?: RequestInit },
): Promise<Response> {
  if (settings.offline) {
    throw unreachable(
      t(
        "{0}: offline mode is on (HF_HUB_OFFLINE), so the Hub is not asked.",
        nameOf(options.about),
      ),
      { offline: true },
    );
  }
  const { signal, about, accept = [] } = options;
  for (let attempt = 0; ; attempt++) {
    throwIfAborted(signal);
    const isLast = attempt >= settings.retries;
    const response = await follow(settings, url, { ...options, init }).catch((error: unknown) => {
      throwIfAborted(signal);
      // A silent server has cost half a minute, and one that is not there will not appear: twice is enough.
      const isEnough = isLast || (isHopeless(error) && attempt > 0);
      if (isEnough || !isRepeatable(init.method)) throw lost(settings, error, { about, url });
      return null;
    });
    if (response !== null && (response.ok || accept.includes(response.status))) return response;
    const pause = pauseAfter(response, attempt, settings);
    const mayRepeat =
      response === null ||
      response.status === 429 ||
      response.status === 503 ||
      (response.status >= 500 && isRepeatable(init.method));
    if (isLast || !mayRepeat || pause > longestWait * 1000) {
      throw await refused(settings, response as Response, about);
    }
    await response?.body?.cancel().catch(() => undefined);
    await wait(pause, undefined, { ...(signal && { signal }) }).catch(() => {
      throw cancelled();
    });
  }
}

/** Why a request was stopped whose answer did not come. */
const silence = new Error("no answer in time");

/** No network, no such machine, nobody who listens there. */
const notThere = new Set([
  ...["ENOTFOUND", "EAI_AGAIN", "ENETUNREACH", "EHOSTUNREACH", "ECONNREFUSED"],
]);

function isHopeless(error: unknown): boolean {
  const { code } = (error as { cause?: { code?: string } }).cause ?? {};
  return error === silence || (code !== undefined && notThere.has(code));
}

/** What asks and changes nothing may be asked twice; so may what the Hub has not begun (429, 503). */
function isRepeatable(method = "GET"): boolean {
  return method === "GET" || method === "HEAD";
}

/** Milliseconds: what the Hub asks for (Retry-After, or the rest of its rate limit's window), or twice the last. */
function pauseAfter(response: Response | null, attempt: number, settings: HubSettings): number {
  const asked = response === null ? null : secondsToWait(response.headers);
  return asked === null ? settings.retryDelay * 2 ** attempt : asked * 1000;
}

function secondsToWait(headers: Headers): number | null {
  const after = headers.get("retry-after");
  if (after !== null) {
    const seconds = /^\d+(\.\d+)?$/.test(after.trim())
      ? Number(after)
      : (Date.parse(after) - Date.now()) / 1000;
    if (!Number.isNaN(seconds)) return Math.max(0, seconds);
  }
  const window = /\bt=(\d+)/.exec(headers.get("ratelimit") ?? "")?.[1];
  return window === undefined ? null : Number(window);
}

async function refused(
  settings: HubSettings,
  response: Response,
  about: Subject,
): Promise<GraftError> {
  const { status, headers, url } = response;
  if (status === 429) {
    const seconds = secondsToWait(headers);
    const when = seconds === null ? "later" : t("in {0} seconds", Math.ceil(seconds));
    await response.body?.cancel().catch(() => undefined);
    const help = settings.token === null ? t(" Signing in raises the limit.") : "";
    return rateLimited(
      t(
        "{0}: the Hub has had too many requests (429). Try again {1}.{2}",
        nameOf(about),
        when,
        help,
      ),
      seconds,
    );
  }
  const text = await readBody(response, settings, { about, limit: 65_536 }).catch(() => null);
  return httpError(settings, { status, headers, url, text: text?.toString("utf8") ?? "" }, about);
}

/** What the network said, in a sentence. */
function lost(settings: HubSettings, error: unknown, at: { about: Subject; url: string }): Error {
  const cause = (error as { cause?: { code?: string; message?: string } }).cause;
  const reason = cause?.code ?? cause?.message ?? (error as Error).message;
  const host = URL.canParse(at.url) ? new URL(at.url).host : settings.endpoint;
  return unreachable(
    t(
      "{0}: {1} cannot be reached ({2}). Check the network, a proxy, or HF_ENDPOINT, and try again.",
      nameOf(at.about),
      host,
      withoutToken(reason, settings),
    ),
    { host, reason: cause?.code ?? "" },
  );
}

/** Sends a request and follows its redirects, with the token only where it belongs. */
async function follow(
  settings: HubSettings,
  start: string,
  { init, signal, about }: RequestOptions & { init: RequestInit },
): Promise<Response> {
  let [url, request] = [start, init];
  for (let hop = 0; hop <= mostRedirects; hop++) {
    const response = await send(settings, url, { init: request, signal });
    const target = response.headers.get("location");
    if (response.status < 300 || response.status >= 400 || target === null) return response;
    await response.body?.cancel().catch(() => undefined);
    const next = new URL(target, url);
    if (!/^https?:$/.test(next.protocol)) break;
    const keepsMethod = response.status === 307 || response.status === 308;
    if (!keepsMethod && !isRepeatable(request.method))
      request = { ...request, method: "GET", body: null };
    if (next.origin !== new URL(url).origin)
      request = { ...request, headers: plainHeaders(request) };
    url = next.href;
  }
  throw unreachable(t("{0}: {1} redirects without end.", nameOf(about), bareUrl(start)));
}

/** Headers that may go to another host. */
function plainHeaders({ headers }: RequestInit): Headers {
  const own = new Headers(headers);
  for (const name of ["authorization", "cookie"]) own.delete(name);
  return own;
}

/** One exchange up to the answer's headers, which are waited for as long as for any byte. */
async function send(
  settings: HubSettings,
  url: string,
  { init, signal }: { init: RequestInit; signal: AbortSignal | undefined },
): Promise<Response> {
  const headers = new Headers(init.headers);
  // The library is never given the token; what it writes in its place is dropped.
  const isOurs = new URL(url).origin === new URL(settings.endpoint).origin;
  if (/^Bearer (undefined)?$/.test(headers.get("authorization") ?? ""))
    headers.delete("authorization");
  if (isOurs && settings.token !== null && !headers.has("authorization")) {
    headers.set("authorization", `Bearer ${settings.token}`);
  }
  headers.set("user-agent", "graft");
  const stop = new AbortController();
  const abort = (): void => stop.abort();
  const timer = setTimeout(() => stop.abort(silence), settings.stallTimeout);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    if (signal?.aborted) throw cancelled();
    return await settings.fetch(url, { ...init, headers, redirect: "manual", signal: stop.signal });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

/**
 * The bytes of an answer as they come.
 * @throws unreachable when none comes for the stall timeout; whatever the connection throws when it is cut
 */
export async function* bodyOf(
  response: Response,
  settings: HubSettings,
  { about, signal }: RequestOptions,
): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader() as ReadableStreamDefaultReader<Uint8Array> | undefined;
  try {
    while (reader) {
      const part = await inTime(reader.read(), settings, { about, signal });
      if (part.done) return;
      yield part.value;
    }
  } finally {
    await reader?.cancel().catch(() => undefined);
  }
}

async function inTime<T>(
  promise: Promise<T>,
  { stallTimeout }: HubSettings,
  { about, signal }: RequestOptions,
): Promise<T> {
  throwIfAborted(signal);
  let end = (): void => undefined;
  const interrupted = new Promise<never>((_, reject) => {
    const seconds = stallTimeout / 1000;
    const say = t(
      "{0}: the server has sent nothing for {1} seconds. Try again.",
      nameOf(about),
      seconds,
    );
    const timer = setTimeout(() => reject(unreachable(say)), stallTimeout);
    const abort = (): void => reject(cancelled());
    signal?.addEventListener("abort", abort, { once: true });
    end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    };
  });
  // Whoever loses the race may still fail; nobody waits for that any more.
  promise.catch(() => undefined);
  try {
    return await Promise.race([promise, interrupted]);
  } finally {
    end();
  }
}

/** An answer's bytes whole. @throws bad-file when they are more than `limit` */
export async function readBody(
  response: Response,
  settings: HubSettings,
  { limit, ...options }: RequestOptions & { limit: number },
): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of bodyOf(response, settings, options)) {
    length += part.length;
    if (length > limit)
      throw badFile(nameOf(options.about), t("is more than {0} bytes long", limit));
    parts.push(part);
  }
  return Buffer.concat(parts);
}
