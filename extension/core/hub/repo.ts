import { t } from "@vscode/l10n";
import { listFiles, modelInfo } from "@huggingface/hub";
import { asGraftError, badFile, badRequest, notFound } from "../base/errors.ts";
import { isRepoId } from "./cache.ts";
import type { Subject } from "./httpError.ts";
import { throughLibrary } from "./library.ts";
import type { HubSettings } from "./settings.ts";

/** A file of a repository at one commit. */
export interface RepoFile {
  /** With forward slashes; does not lead out of its folder. */
  readonly path: string;
  readonly size: number;
  /** Name of its blob in the cache: SHA-256 of what LFS keeps, git's SHA-1 of other files. */
  readonly etag: string;
}

/** A repository of the Hub at one commit. */
export interface RemoteRepo {
  readonly id: string;
  /** As asked for. */
  readonly revision: string;
  readonly commit: string;
  readonly files: readonly RepoFile[];
}

/** More files than this are no model: a bound on what a server may make us keep. */
const mostFiles = 100_000;

/**
 * Asks the Hub what a repository holds at a revision.
 * @throws bad-request for what is no id; not-found, naming repository or revision; see `hubRequest`
 */
export async function readRepo(
  settings: HubSettings,
  id: string,
  {
    revision = "main",
    signal,
  }: { revision?: string | undefined; signal?: AbortSignal | undefined },
): Promise<RemoteRepo> {
  if (!isRepoId(id)) throw badRequest(t('"{0}" is no repository\'s id. Write owner/name.', id));
  if (!isRevision(revision)) {
    throw notFound(
      t("Revision"),
      t("{0} of {1}", revision, id),
      t("Write a branch, tag or commit."),
    );
  }
  const through = throughLibrary(settings, { about: { repo: id, revision }, signal });
  const commit = isCommit(revision) ? revision : await commitOf(id, revision, through);
  const files: RepoFile[] = [];
  const repo = { type: "model", name: id } as const;
  const entries = listFiles({ repo, recursive: true, revision: commit, ...through });
  for await (const { type, path, size, oid = "", lfs } of readable(entries, { repo: id })) {
    if (type !== "file") continue;
    if (files.length === mostFiles) throw badFile(id, t("has more than {0} files", mostFiles));
    files.push({ path, size: lfs?.size ?? size, etag: lfs?.oid ?? oid });
  }
  return { id, revision, commit, files: files.map((file) => checked(file, id)) };
}

async function commitOf(
  id: string,
  revision: string,
  through: ReturnType<typeof throughLibrary>,
): Promise<string> {
  const info = modelInfo({ name: id, revision, additionalFields: ["sha"], ...through });
  const { sha } = await info.catch((error: unknown) => {
    throw answerError(error, { repo: id, revision });
  });
  if (typeof sha === "string" && isCommit(sha)) return sha;
  throw badFile(`${id} at ${revision}`, t("the Hub does not say which commit this is"));
}

async function* readable<T>(entries: AsyncGenerator<T>, about: Subject): AsyncGenerator<T> {
  try {
    yield* entries;
  } catch (error) {
    throw answerError(error, about);
  }
}

/** An answer that the library could not read is a file that does not hold what it should. */
export function answerError(error: unknown, { repo = t("The Hub") }: Subject): Error {
  const known = asGraftError(error);
  return known.code === "internal"
    ? badFile(
        repo,
        t("the Hub's answer cannot be read ({0})", known.message),
        t("Check HF_ENDPOINT."),
      )
    : known;
}

function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}

/** A revision may have parts ("refs/pr/1"), but it never leads out of the folder of refs. */
function isRevision(revision: string): boolean {
  return /^[\w./-]+$/.test(revision) && isBelow(revision);
}

function isBelow(path: string): boolean {
  return (
    !/^[\\/]|[\\\0]|^[A-Za-z]:/.test(path) &&
    path.split("/").every((part) => !/^\.{0,2}$/.test(part))
  );
}

function checked(file: RepoFile, id: string): RepoFile {
  const fail = (problem: string): Error => badFile(id, t("the Hub names a file {0}", problem));
  const name = JSON.stringify(file.path);
  if (typeof file.path !== "string" || !isBelow(file.path)) {
    throw fail(t("{0}, which leads out of its folder", name));
  }
  if (!Number.isSafeInteger(file.size) || file.size < 0) throw fail(t("{0} of no size", name));
  if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(file.etag)) throw fail(t("{0} without a hash", name));
  return file;
}
