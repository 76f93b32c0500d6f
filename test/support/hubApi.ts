/** The endpoints of the tests' own Hub. */
import type { Answer, HubServer, SeenRequest } from "./hubServer.ts";
import {
  addCommit,
  type Commit,
  isLfs,
  modelInfo,
  newRepo,
  type Repo,
  type StoredFile,
  storedFile,
} from "./hubRepos.ts";

type Json = Record<string, unknown>;

/** A request to one repository, with what the address named. */
interface RepoCall {
  readonly hub: HubServer;
  readonly repo: Repo;
  readonly url: URL;
  readonly method: string;
  readonly body: Buffer;
  /** Parts of the address that the route's groups matched. */
  readonly part: Readonly<Record<string, string>>;
}

const routes: readonly [method: string, path: RegExp, answer: (call: RepoCall) => Answer][] = [
  ["GET", /^\/api\/models\/(?<id>[^/]+\/[^/]+)\/revision\/(?<rev>[^/]+)$/, atCommit(info)],
  ["GET", /^\/api\/models\/(?<id>[^/]+\/[^/]+)$/, atCommit(info)],
  [
    "GET",
    /^\/api\/models\/(?<id>[^/]+\/[^/]+)\/tree\/(?<rev>[^/]+)(?:\/(?<dir>.+))?$/,
    atCommit(tree),
  ],
  ["GET", /^\/(?<id>[^/]+\/[^/]+)\/resolve\/(?<rev>[^/]+)\/(?<file>.+)$/, atCommit(resolve)],
  ["POST", /^\/api\/models\/(?<id>[^/]+\/[^/]+)\/preupload\/(?<rev>.+)$/, writing(preupload)],
  ["POST", /^\/(?<id>[^/]+\/[^/]+)\.git\/info\/lfs\/objects\/batch$/, writing(lfsBatch)],
  ["POST", /^\/api\/models\/(?<id>[^/]+\/[^/]+)\/branch\/(?<rev>.+)$/, writing(createBranch)],
  ["POST", /^\/api\/models\/(?<id>[^/]+\/[^/]+)\/commit\/(?<rev>.+)$/, writing(commit)],
];

export function answerApi(hub: HubServer, seen: SeenRequest, body: Buffer): Answer {
  const url = new URL(seen.path, hub.url);
  const token = /^Bearer (.+)$/.exec(seen.headers.authorization ?? "")?.[1];
  const account = token === undefined ? undefined : hub.accounts.get(token);
  if (token !== undefined && !account) {
    return refuse(401, "", "Invalid credentials in Authorization header");
  }
  if (url.pathname === "/api/whoami-v2") {
    if (!account) return refuse(401, "", "Invalid username or password.");
    const { name, role = "write" } = account;
    const accessToken = { displayName: "test", role, createdAt: "2026-01-01T00:00:00.000Z" };
    return json({
      type: "user",
      id: name,
      name,
      fullname: name,
      orgs: [],
      auth: { type: "access_token", accessToken },
    });
  }
  if (url.pathname === "/api/models") return search(hub, url, account?.name);
  if (url.pathname === "/api/repos/create") return createRepo(hub, account?.name, body);
  const method = seen.method === "HEAD" ? "GET" : seen.method;
  for (const [verb, pattern, answer] of routes) {
    const part = verb === method ? pattern.exec(url.pathname)?.groups : undefined;
    if (!part) continue;
    const repo = hub.repos.get(part["id"] as string);
    const isOwner = account !== undefined && repo?.id.startsWith(`${account.name}/`) === true;
    if (!repo || (repo.isPrivate && !isOwner)) {
      return refuse(account ? 404 : 401, "RepoNotFound", "Repository not found");
    }
    if (repo.isGated && !isOwner && url.pathname.includes("/resolve/")) {
      return refuse(account ? 403 : 401, "GatedRepo", `Access to model ${repo.id} is restricted.`);
    }
    if (verb === "POST" && (!isOwner || account.role === "read")) {
      return refuse(account ? 403 : 401, "", "You don't have the rights to write here");
    }
    return answer({ hub, repo, url, method, body, part });
  }
  return refuse(404, "", `No such endpoint: ${seen.method} ${url.pathname}`);
}

function json(value: unknown, headers: Record<string, string> = {}): Answer {
  const body = Buffer.from(JSON.stringify(value));
  return {
    status: 200,
    headers: { "content-type": "application/json; charset=utf-8", ...headers },
    body,
  };
}

function refuse(status: number, code: string, message: string): Answer {
  const headers = { ...(code !== "" && { "x-error-code": code }), "x-error-message": message };
  return { ...json({ error: message }, headers), status };
}

function atCommit(answer: (call: RepoCall, commit: Commit) => Answer): (call: RepoCall) => Answer {
  return (call) => {
    const named = decodeURIComponent(call.part["rev"] ?? "main");
    const revision = named === "HEAD" ? "main" : named;
    const { refs, commits } = call.repo;
    const found = commits.get(refs.get(revision) ?? revision);
    return found
      ? answer(call, found)
      : refuse(404, "RevisionNotFound", `Invalid rev id: ${revision}`);
  };
}

function info({ repo }: RepoCall, commit: Commit): Answer {
  return json(modelInfo(repo, commit));
}

/** Entries of a page; few, so that readers have to turn pages. */
const pageSize = 50;

function tree({ hub, url, part }: RepoCall, { files }: Commit): Answer {
  const prefix = part["dir"] === undefined ? "" : `${decodeURIComponent(part["dir"])}/`;
  const entries = [...files]
    .filter(([name]) => name.startsWith(prefix))
    .map(([name, file]) => treeEntry(name, file));
  const at = Number(url.searchParams.get("cursor") ?? 0);
  const next = new URL(url);
  next.searchParams.set("cursor", String(at + pageSize));
  const isLast = at + pageSize >= entries.length;
  const link = `<${hub.url}${next.pathname}${next.search}>; rel="next"`;
  return json(entries.slice(at, at + pageSize), isLast ? {} : { link });
}

function treeEntry(path: string, { bytes, oid, sha256 }: StoredFile): Json {
  const lfs = sha256 === null ? {} : { lfs: { oid: sha256, size: bytes.length, pointerSize: 130 } };
  return { type: "file", path, oid, size: bytes.length, ...lfs };
}

function resolve({ hub, part }: RepoCall, { id, files }: Commit): Answer {
  const file = files.get(decodeURIComponent(part["file"] as string));
  const headers = { "x-repo-commit": id };
  if (!file) {
    const none = refuse(404, "EntryNotFound", "Entry not found");
    return { ...none, headers: { ...none.headers, ...headers } };
  }
  const { bytes, oid, sha256 } = file;
  if (sha256 === null) {
    return { status: 200, headers: { ...headers, etag: `"${oid}"` }, body: bytes, isFile: true };
  }
  const linked = { "x-linked-etag": `"${sha256}"`, "x-linked-size": String(bytes.length) };
  const location = `${hub.cdnUrl}/repos/${sha256}?signature=secret`;
  return { status: 302, headers: { ...headers, ...linked, location }, body: Buffer.alloc(0) };
}

function search(hub: HubServer, url: URL, account: string | undefined): Answer {
  const { searchParams: query } = url;
  const words = (query.get("search") ?? "").toLowerCase();
  const found = [...hub.repos.values()].flatMap((repo) => {
    const head = repo.commits.get(repo.refs.get("main") ?? "");
    if (!head || (repo.isPrivate && !repo.id.startsWith(`${account ?? ""}/`))) return [];
    const about = modelInfo(repo, head);
    const tags = about["tags"] as string[];
    const isMatch = query.getAll("filter").every((tag) => tags.includes(tag));
    return isMatch && repo.id.toLowerCase().includes(words) ? [about] : [];
  });
  found.sort((a, b) => (b["downloads"] as number) - (a["downloads"] as number));
  return json(found.slice(0, Number(query.get("limit") ?? 1000)));
}

function createRepo(hub: HubServer, account: string | undefined, body: Buffer): Answer {
  if (account === undefined) return refuse(401, "", "Invalid username or password.");
  const asked = JSON.parse(body.toString()) as Record<string, string | boolean>;
  const { name, organization, visibility } = asked;
  const id = `${String(organization ?? account)}/${String(name)}`;
  if (organization !== undefined && organization !== account) {
    return refuse(
      403,
      "",
      `You don't have the rights to create a model under ${String(organization)}`,
    );
  }
  if (hub.repos.has(id)) return refuse(409, "", "You already created this model repo");
  const repo = newRepo(id);
  repo.isPrivate = visibility === "private" || asked["private"] === true;
  hub.repos.set(id, repo);
  addCommit(repo, new Map([[".gitattributes", storedFile(".gitattributes", Buffer.from("*\n"))]]), {
    title: "initial commit",
  });
  return json({ url: `${hub.url}/${id}`, name: id, id });
}

/** A call that changes a branch, which has to be there. */
function writing(answer: (call: RepoCall) => Answer): (call: RepoCall) => Answer {
  return (call) => {
    const branch = decodeURIComponent(call.part["rev"] ?? "main");
    const isNew = call.url.pathname.includes("/branch/");
    if (!isNew && !call.repo.refs.has(branch)) {
      return refuse(404, "RevisionNotFound", `Invalid rev id: ${branch}`);
    }
    return answer({ ...call, part: { ...call.part, rev: branch } });
  };
}

function preupload({ body }: RepoCall): Answer {
  const { files } = JSON.parse(body.toString()) as { files: { path: string; size: number }[] };
  return json({
    files: files.map(({ path, size }) => ({
      path,
      uploadMode: isLfs(path, size) ? "lfs" : "regular",
      shouldIgnore: false,
    })),
  });
}

function lfsBatch({ hub, body }: RepoCall): Answer {
  const { objects } = JSON.parse(body.toString()) as { objects: { oid: string; size: number }[] };
  return json({
    transfer: "basic",
    objects: objects.map(({ oid, size }) => ({
      oid,
      size,
      ...(!hub.objects.has(oid) && {
        actions: { upload: { href: `${hub.cdnUrl}/upload/${oid}?signature=secret` } },
      }),
    })),
  });
}

function createBranch({ repo, part }: RepoCall): Answer {
  const branch = part["rev"] as string;
  if (repo.refs.has(branch)) return refuse(409, "", "Reference already exists");
  repo.refs.set(branch, repo.refs.get("main") as string);
  return json({});
}

interface Line {
  key: "header" | "file" | "lfsFile";
  value: { summary?: string; path: string; content?: string; oid?: string };
}

function commit({ hub, repo, url, body, part }: RepoCall): Answer {
  const lines = body
    .toString()
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);
  const files = new Map<string, StoredFile>();
  for (const { key, value } of lines) {
    if (key === "file")
      files.set(value.path, storedFile(value.path, Buffer.from(value.content ?? "", "base64")));
    if (key !== "lfsFile") continue;
    const bytes = hub.objects.get(value.oid ?? "");
    if (!bytes) return refuse(400, "", `LFS object ${value.oid} has not been uploaded`);
    files.set(value.path, storedFile(value.path, bytes));
  }
  const title = lines.find(({ key }) => key === "header")?.value.summary ?? "";
  const isPr = url.searchParams.get("create_pr") === "1";
  const number = [...repo.refs.keys()].filter((ref) => ref.startsWith("refs/pr/")).length + 1;
  const from = part["rev"] as string;
  const branch = isPr ? `refs/pr/${number}` : from;
  if (isPr) repo.refs.set(branch, repo.refs.get(from) as string);
  const { id } = addCommit(repo, files, { branch, title, onTop: true });
  return json({
    success: true,
    commitOid: id,
    commitUrl: `${hub.url}/${repo.id}/commit/${id}`,
    hookOutput: "",
    ...(isPr && { pullRequestUrl: `${hub.url}/${repo.id}/discussions/${number}` }),
  });
}
