import { t } from "@vscode/l10n";
import { pathToFileURL } from "node:url";
import { commitIter, createBranch, createRepo } from "@huggingface/hub";
import { asGraftError, badFile, notFound, throwIfAborted } from "../base/errors.ts";
import type { OnProgress } from "../base/progress.ts";
import { throughLibrary } from "./library.ts";
import { answerError, readRepo, type RemoteRepo } from "./repo.ts";
import { hubRequest, readBody } from "./request.ts";
import type { HubSettings } from "./settings.ts";

/** A file of this machine and its place in the repository. */
export interface UploadFile {
  readonly path: string;
  readonly file: string;
  readonly size: number;
}

export interface UploadOptions {
  readonly repo: string;
  readonly files: readonly UploadFile[];
  /** Makes the repository when it is not there, visible so. */
  readonly isPrivate: boolean;
  /** Branch; made when it is not there. */
  readonly revision: string;
  /** Open a pull request in place of changing the branch. */
  readonly createPr: boolean;
  readonly title: string;
  readonly description?: string | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Uploaded {
  readonly commit: string;
  readonly commitUrl: string;
  readonly pullRequestUrl: string | null;
  readonly createdRepo: boolean;
}

/** The repository as it is; null when it is not there, or not for this token. */
export async function findRemote(
  settings: HubSettings,
  id: string,
  { revision, signal }: { revision: string; signal?: AbortSignal | undefined },
): Promise<RemoteRepo | null> {
  return readRepo(settings, id, { revision, signal }).catch((error: unknown) => {
    const { code, details } = asGraftError(error);
    if (code === "not-found" && details["what"] !== t("File")) return null;
    throw error;
  });
}

/** Is a repository private? Null when there is none that this token may see. */
export async function visibilityOf(
  settings: HubSettings,
  id: string,
  signal?: AbortSignal,
): Promise<"private" | "public" | null> {
  const url = `${settings.endpoint}/api/models/${id}`;
  const about = { repo: id };
  const response = await hubRequest(settings, url, { about, accept: [404], signal });
  const text = (await readBody(response, settings, { about, signal, limit: 16e6 })).toString(
    "utf8",
  );
  if (response.status === 404) return null;
  try {
    const { private: isPrivate } = JSON.parse(text) as { private?: unknown };
    return isPrivate === true ? "private" : "public";
  } catch {
    throw badFile(id, t("the Hub's answer cannot be read"), t("Check HF_ENDPOINT."));
  }
}

/**
 * Uploads files in one commit, after the repository and the branch have been made where they are not
 * there. Cancelled before the commit, nothing of it is to be seen in the repository.
 */
export async function uploadFiles(
  settings: HubSettings,
  options: UploadOptions,
): Promise<Uploaded> {
  const { repo: name, revision, signal } = options;
  const about = { repo: name, revision };
  const through = throughLibrary(settings, { about, signal });
  const repo = { type: "model", name } as const;
  try {
    const exists = await visibilityOf(settings, name, signal);
    if (exists === null) {
      const visibility = options.isPrivate ? "private" : "public";
      await createRepo({ repo, visibility, credentials: { accessToken: "" }, ...through });
    }
    const isBranch = !options.createPr && !revision.startsWith("refs/");
    if (isBranch && (await findRemote(settings, name, { revision, signal })) === null) {
      await createBranch({ repo, branch: revision, ...through });
    }
    return { ...(await commitAll(options, { repo, ...through })), createdRepo: exists === null };
  } catch (error) {
    throwIfAborted(signal);
    throw answerError(error, about);
  }
}

async function commitAll(
  { files, revision, createPr, title, description, onProgress, signal, repo: name }: UploadOptions,
  through: { repo: { type: "model"; name: string }; hubUrl: string; fetch: typeof fetch },
): Promise<Omit<Uploaded, "createdRepo">> {
  const steps = commitIter({
    ...through,
    title,
    ...(description !== undefined && { description }),
    branch: revision,
    isPullRequest: createPr,
    // Plain LFS: streamed from disk, where Xet keeps 64 MB a file in memory.
    useXet: false,
    operations: files.map(({ path, file }) => ({
      operation: "addOrUpdate",
      path,
      content: pathToFileURL(file),
    })),
    ...(signal && { abortSignal: signal }),
  });
  const report = progressOf(name, files, onProgress);
  // A wish to stop reaches the library by its signal; left alone, its uploads would fail unheard.
  for (;;) {
    const step = await steps.next();
    if (!step.done) {
      const { value } = step;
      if (value.event === "fileProgress" && value.state === "uploading")
        report(value.path, value.progress);
      continue;
    }
    if (!step.value) throw notFound(t("Commit"), name, t("The Hub did not say which one it made."));
    const { commit, pullRequestUrl } = step.value;
    report(null, 1);
    return { commit: commit.oid, commitUrl: commit.url, pullRequestUrl: pullRequestUrl ?? null };
  }
}

/** Bytes over all files; what git keeps travels with the commit itself. */
function progressOf(
  id: string,
  files: readonly UploadFile[],
  onProgress: OnProgress | undefined,
): (path: string | null, share: number) => void {
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const shares = new Map<string, number>();
  return (path, share) => {
    if (path !== null) shares.set(path, share);
    const done = files.reduce(
      (sum, { path: name, size }) => sum + size * (path === null ? 1 : (shares.get(name) ?? 0)),
      0,
    );
    onProgress?.({ step: t("Uploading to {0}", id), done: Math.round(done), total, unit: "bytes" });
  };
}
