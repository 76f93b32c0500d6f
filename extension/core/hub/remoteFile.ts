import { t } from "@vscode/l10n";
import { readFile } from "node:fs/promises";
import { badFile, unsupported } from "../base/errors.ts";
import { blobFile } from "./cacheFiles.ts";
import { nameOf, type Subject } from "./httpError.ts";
import type { RemoteRepo, RepoFile } from "./repo.ts";
import { hubRequest, readBody } from "./request.ts";
import type { HubSettings } from "./settings.ts";

/** Longest config, index or card that is read into memory: an index of 100,000 tensors takes 10 MB. */
const longestText = 64 * 1024 * 1024;

/** A file of a repository on the Hub, for errors. */
export function subjectOf(repo: RemoteRepo, file: RepoFile): Subject {
  return { repo: repo.id, revision: repo.revision, file: file.path };
}

/** Where a file's bytes are had: the Hub answers, or leads to a CDN. */
export function resolveUrl(settings: HubSettings, repo: RemoteRepo, file: RepoFile): string {
  const path = file.path.split("/").map(encodeURIComponent).join("/");
  return `${settings.endpoint}/${repo.id}/resolve/${repo.commit}/${path}`;
}

/**
 * Some bytes of a file on the Hub; nothing else of it is fetched.
 * @throws unsupported when the server sends the whole file instead
 */
export async function readRemoteRange(
  settings: HubSettings,
  at: { repo: RemoteRepo; file: RepoFile; offset: number; length: number },
  signal?: AbortSignal,
): Promise<Buffer> {
  const { repo, file, offset, length } = at;
  const about = subjectOf(repo, file);
  const headers = {
    range: `bytes=${offset}-${offset + length - 1}`,
    "accept-encoding": "identity",
  };
  const response = await hubRequest(settings, resolveUrl(settings, repo, file), {
    init: { headers },
    about,
    signal,
  });
  const isWhole = offset === 0 && length === file.size;
  if (response.status !== 206 && !isWhole) {
    await response.body?.cancel().catch(() => undefined);
    throw unsupported(
      t("{0}: the server does not send parts of files", nameOf(about)),
      t("Download it whole."),
    );
  }
  const bytes = await readBody(response, settings, { about, signal, limit: length });
  if (bytes.length !== length) {
    throw badFile(nameOf(about), t("{0} bytes were asked for, {1} came", length, bytes.length));
  }
  return bytes;
}

/** A small text file of the Hub, or of the cache where its blob is there already. */
export async function readRemoteText(
  settings: HubSettings,
  { repo, file }: { repo: RemoteRepo; file: RepoFile },
  signal?: AbortSignal,
): Promise<string> {
  const about = subjectOf(repo, file);
  if (file.size > longestText)
    throw badFile(nameOf(about), t("is {0} bytes, too large for text", file.size));
  const cached = await readFile(blobFile(settings.cacheDir, repo.id, file.etag)).catch(() => null);
  const bytes =
    cached?.length === file.size ? cached : await fetchWhole(settings, { repo, file }, signal);
  return bytes.toString("utf8");
}

async function fetchWhole(
  settings: HubSettings,
  { repo, file }: { repo: RemoteRepo; file: RepoFile },
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const about = subjectOf(repo, file);
  const url = resolveUrl(settings, repo, file);
  const response = await hubRequest(settings, url, { about, signal });
  return readBody(response, settings, { about, signal, limit: longestText });
}
