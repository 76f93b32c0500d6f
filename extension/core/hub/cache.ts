import { homedir } from "node:os";
import { readdir, readFile } from "node:fs/promises";
import * as path from "node:path";

/** The folder of Hugging Face's download cache, as huggingface_hub resolves it. */
export function hubCacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  const own = env["HF_HUB_CACHE"] ?? env["HUGGINGFACE_HUB_CACHE"];
  if (own) return expandPath(own, env);
  return path.join(hubHome(env), "hub");
}

/** The folder of Hugging Face's own files: the cache and the token. */
export function hubHome(env: NodeJS.ProcessEnv = process.env): string {
  const home =
    env["HF_HOME"] ??
    path.join(env["XDG_CACHE_HOME"] ?? path.join(homedir(), ".cache"), "huggingface");
  return expandPath(home, env);
}

/** "~" and "$NAME" as Python's expanduser and expandvars read them; unknown names stay. */
export function expandPath(text: string, env: NodeJS.ProcessEnv): string {
  return text
    .replace(/^~(?=$|[/\\])/, homedir())
    .replace(
      /\$(?:\{(\w+)\}|(\w+))/g,
      (whole, braced: string, plain: string) => env[braced ?? plain] ?? whole,
    );
}

/** A model repository in the cache, at the revision that `main` (or the newest ref) points to. */
export interface CachedRepo {
  /** "owner/name". */
  readonly id: string;
  readonly snapshot: string;
}

/** Repositories in the cache; a cache that is not there holds none. */
export async function cachedRepos(cache = hubCacheFolder()): Promise<CachedRepo[]> {
  const names = await readdir(cache).catch((): string[] => []);
  const repos = await Promise.all(
    names
      .filter((name) => name.startsWith("models--"))
      .map(async (name) => {
        const snapshot = await currentSnapshot(path.join(cache, name));
        return snapshot ? { id: name.split("--").slice(1).join("/"), snapshot } : null;
      }),
  );
  return repos.filter((repo) => repo !== null);
}

/** The cached snapshot of "owner/name" at a revision, or null. */
export async function findCachedRepo(
  id: string,
  {
    cache = hubCacheFolder(),
    revision = "main",
  }: { cache?: string | undefined; revision?: string | undefined } = {},
): Promise<string | null> {
  if (!isRepoId(id)) return null;
  return currentSnapshot(path.join(cache, repoFolderName(id)), revision);
}

/** The folder of a model repository inside the cache. */
export function repoFolderName(id: string): string {
  return `models--${id.replace("/", "--")}`;
}

/** Could this be a repository's id: "owner/name" or, of old ones, "name"? */
export function isRepoId(id: string): boolean {
  return /^[\w.-]+(\/[\w.-]+)?$/.test(id) && !/(^|\/)\.{1,2}($|\/)/.test(id);
}

async function currentSnapshot(repo: string, revision = "main"): Promise<string | null> {
  // A revision may have parts ("refs/pr/1"), but it never leads out of its folder.
  if (!/^[\w./-]+$/.test(revision) || revision.split("/").includes("..")) return null;
  const commit = await readFile(path.join(repo, "refs", revision), "utf8").catch(() => null);
  const snapshots = await readdir(path.join(repo, "snapshots")).catch((): string[] => []);
  const wanted = commit?.trim() ?? revision;
  const chosen = snapshots.includes(wanted)
    ? wanted
    : revision === "main"
      ? snapshots[0]
      : undefined;
  return chosen === undefined ? null : path.join(repo, "snapshots", chosen);
}

/** What people call a model's folder: its name; of a snapshot in the cache, whose name is a commit, the repository's. */
export function folderLabel(folder: string): string {
  const isSnapshot = path.basename(path.dirname(folder)) === "snapshots";
  const id = isSnapshot ? repoIdOf(folder) : null;
  if (id !== undefined && id !== null) return id.split("/").at(-1) ?? id;
  const name = path.basename(folder);
  // Many have these names: a run's checkpoints, X-LoRA's experts, an adapter that PEFT calls "default".
  const isCommon = /^((checkpoint-)?\d+|default)$/.test(name);
  return isCommon ? `${path.basename(path.dirname(folder))}-${name}` : name;
}

/** "owner/name" of a folder inside the cache, or null elsewhere. */
export function repoIdOf(folder: string): string | null {
  const part = folder.split(path.sep).findLast((name) => name.startsWith("models--"));
  return part === undefined ? null : part.split("--").slice(1).join("/");
}
