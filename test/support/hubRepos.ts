/** The repositories of the tests' own Hub: commits of files, in memory. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import * as path from "node:path";
import { parse } from "yaml";

export interface StoredFile {
  readonly bytes: Buffer;
  /** git's SHA-1; of an LFS file its pointer's. */
  readonly oid: string;
  /** SHA-256 of what LFS keeps; null for a file that git keeps. */
  readonly sha256: string | null;
}

export interface Commit {
  readonly id: string;
  readonly title: string;
  readonly files: ReadonlyMap<string, StoredFile>;
}

/** A repository, and what of it is not in its files. */
export interface Repo {
  readonly id: string;
  /** Branches, tags and pull requests: commit ids. */
  readonly refs: Map<string, string>;
  readonly commits: Map<string, Commit>;
  isPrivate: boolean;
  isGated: boolean;
  downloads: number;
  likes: number;
}

const lfsName = /\.(safetensors|bin|onnx|data|onnx_data|gguf|model)$|(^|\/)tokenizer\.json$/;

/** How the Hub decides what LFS keeps: by name, or by size. */
export function isLfs(name: string, size: number): boolean {
  return lfsName.test(name) || size > 10_000_000;
}

export function storedFile(name: string, bytes: Buffer): StoredFile {
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  if (!isLfs(name, bytes.length)) return { bytes, oid: gitHash(bytes), sha256: null };
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize ${bytes.length}\n`;
  return { bytes, oid: gitHash(Buffer.from(pointer)), sha256 };
}

function gitHash(bytes: Buffer): string {
  return createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
}

export function newRepo(id: string): Repo {
  const [refs, commits] = [new Map<string, string>(), new Map<string, Commit>()];
  return { id, refs, commits, isPrivate: false, isGated: false, downloads: 0, likes: 0 };
}

/** Adds a commit with these files in place of what the branch had, or on top of it. */
export function addCommit(
  repo: Repo,
  files: ReadonlyMap<string, StoredFile>,
  { branch = "main", title = "Upload", onTop = false } = {},
): Commit {
  const before = repo.commits.get(repo.refs.get(branch) ?? "");
  const all = onTop ? new Map([...(before?.files ?? []), ...files]) : files;
  const id = createHash("sha1")
    .update(JSON.stringify([repo.id, branch, title, repo.commits.size]))
    .update([...all].map(([name, { oid }]) => `${name} ${oid}`).join("\n"))
    .digest("hex");
  const commit = { id, title, files: all };
  repo.commits.set(id, commit);
  repo.refs.set(branch, id);
  return commit;
}

/** A plain folder's files, by their paths with forward slashes. */
export async function readFolder(folder: string): Promise<Map<string, StoredFile>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = new Map<string, StoredFile>();
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    const name = path.relative(folder, file).split(path.sep).join("/");
    files.set(name, storedFile(name, await readFile(file)));
  }
  return files;
}

/** What the Hub tells of a repository at a commit, with tags from the card's front matter. */
export function modelInfo(repo: Repo, commit: Commit): Record<string, unknown> {
  const card = cardData(commit);
  const tags = Array.isArray(card["tags"]) ? card["tags"].map(String) : [];
  const library = typeof card["library_name"] === "string" ? card["library_name"] : undefined;
  const license = typeof card["license"] === "string" ? [`license:${card["license"]}`] : [];
  return {
    _id: createHash("sha1").update(repo.id).digest("hex").slice(0, 24),
    id: repo.id,
    modelId: repo.id,
    sha: commit.id,
    private: repo.isPrivate,
    gated: repo.isGated ? "manual" : false,
    downloads: repo.downloads,
    likes: repo.likes,
    lastModified: "2026-01-01T00:00:00.000Z",
    ...(library && { library_name: library }),
    ...(typeof card["pipeline_tag"] === "string" && { pipeline_tag: card["pipeline_tag"] }),
    tags: [...new Set([...(library ? [library] : []), ...tags, ...license])],
    siblings: [...commit.files.keys()].map((rfilename) => ({ rfilename })),
  };
}

function cardData({ files }: Commit): Record<string, unknown> {
  const text = files.get("README.md")?.bytes.toString("utf8") ?? "";
  const front = /^---\r?\n([\s\S]*?)\r?\n---/.exec(text)?.[1];
  return front === undefined ? {} : ((parse(front) as Record<string, unknown> | null) ?? {});
}
