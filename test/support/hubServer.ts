/**
 * The tests' own Hugging Face Hub on 127.0.0.1: what `@huggingface/hub` and huggingface_hub call to
 * read, search and push models, a second server as its CDN, and faults on demand.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { answerApi } from "./hubApi.ts";
import { addCommit, type Commit, newRepo, readFolder, type Repo, storedFile } from "./hubRepos.ts";

/** One request as it came, for assertions on what was asked and what was sent along. */
export interface SeenRequest {
  readonly where: "hub" | "cdn";
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  /** Bytes of the answer's body that were written. */
  sent: number;
}

/** What goes wrong, with requests that match, as often as `times` says (always when absent). */
export interface Fault {
  readonly at: RegExp;
  readonly where?: "hub" | "cdn";
  times?: number;
  /** Answer so instead. */
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly body?: string;
  /** Close the connection after this many bytes of the body. */
  readonly cut?: number;
  /** Send nothing more after this many bytes of the body. */
  readonly stall?: number;
  /** Send other bytes than the hash is of. */
  readonly corrupt?: boolean;
  /** Pass over Range and send the whole file. */
  readonly noRanges?: boolean;
  /** At most so many bytes a second. */
  readonly bytesPerSecond?: number;
}

export interface Account {
  readonly name: string;
  readonly role?: "read" | "write";
}

export class HubServer {
  readonly repos = new Map<string, Repo>();
  /** By token. */
  readonly accounts = new Map<string, Account>();
  readonly requests: SeenRequest[] = [];
  readonly faults: Fault[] = [];
  /** Objects of LFS by SHA-256: what has been uploaded and what repositories hold. */
  readonly objects = new Map<string, Buffer>();
  private readonly servers: Server[] = [];
  url = "";
  cdnUrl = "";

  static async start(): Promise<HubServer> {
    const hub = new HubServer();
    hub.url = await hub.listen("hub");
    // Another name and port: what is bound to one host must not reach the other.
    hub.cdnUrl = await hub.listen("cdn");
    return hub;
  }

  /** Adds a repository, or a commit to one: of a plain folder, or of files by name. */
  async add(
    id: string,
    files: string | Readonly<Record<string, string | Uint8Array>>,
    about: Partial<Pick<Repo, "isPrivate" | "isGated" | "downloads" | "likes">> & {
      branch?: string;
    } = {},
  ): Promise<Commit> {
    const { branch = "main", ...rest } = about;
    const repo = this.repos.get(id) ?? newRepo(id);
    this.repos.set(id, Object.assign(repo, rest));
    const stored =
      typeof files === "string"
        ? await readFolder(files)
        : new Map(
            Object.entries(files).map(([name, bytes]) => [
              name,
              storedFile(name, Buffer.from(bytes)),
            ]),
          );
    for (const { sha256, bytes } of stored.values()) if (sha256) this.objects.set(sha256, bytes);
    return addCommit(repo, stored, { branch });
  }

  fail(fault: Fault): void {
    this.faults.push(fault);
  }

  /** Forgets what was seen and what was to go wrong. */
  reset(): void {
    this.requests.length = 0;
    this.faults.length = 0;
  }

  async close(): Promise<void> {
    for (const server of this.servers.splice(0)) {
      const closed = new Promise((done) => server.close(done));
      server.closeAllConnections();
      await closed;
    }
  }

  private async listen(where: "hub" | "cdn"): Promise<string> {
    const server = createServer((request, response) => {
      void this.serve(where, request, response).catch((error: unknown) => {
        response.destroy(error as Error);
      });
    });
    this.servers.push(server);
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const name = where === "hub" ? "127.0.0.1" : "localhost";
    return `http://${name}:${(server.address() as AddressInfo).port}`;
  }

  private async serve(
    where: "hub" | "cdn",
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const { method = "GET", url: path = "/", headers } = request;
    const seen: SeenRequest = { where, method, path, headers, sent: 0 };
    this.requests.push(seen);
    const body = await bodyOf(request);
    const fault = this.takeFault(seen);
    if (fault?.status !== undefined) {
      send(response, {
        status: fault.status,
        headers: fault.headers ?? {},
        body: Buffer.from(fault.body ?? ""),
      });
      return;
    }
    const answer = where === "cdn" ? this.answerCdn(seen, body) : answerApi(this, seen, body);
    await deliver(response, fileAnswer(answer, seen, fault), { seen, fault });
  }

  private takeFault({ where, method, path }: SeenRequest): Fault | undefined {
    const fault = this.faults.find(
      (each) =>
        (each.where ?? where) === where && each.at.test(`${method} ${path}`) && each.times !== 0,
    );
    if (fault?.times !== undefined) fault.times--;
    return fault;
  }

  private answerCdn({ method, path }: SeenRequest, body: Buffer): Answer {
    const sha256 = /[0-9a-f]{64}/.exec(path)?.[0] ?? "";
    if (method === "PUT") {
      this.objects.set(sha256, body);
      return { status: 200, headers: {}, body: Buffer.alloc(0) };
    }
    const bytes = this.objects.get(sha256);
    if (!bytes) return { status: 404, headers: {}, body: Buffer.from("no such object") };
    return { status: 200, headers: { etag: `"${sha256}"` }, body: bytes, isFile: true };
  }
}

export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
  /** May be asked for in parts. */
  readonly isFile?: boolean;
}

/** The part of a file that Range asks for. */
function fileAnswer(answer: Answer, { headers }: SeenRequest, fault: Fault | undefined): Answer {
  if (!answer.isFile || answer.status !== 200) return answer;
  const bytes = fault?.corrupt ? Buffer.from(answer.body.map((byte) => byte ^ 1)) : answer.body;
  const asked = /^bytes=(\d+)-(\d*)$/.exec(fault?.noRanges ? "" : (headers.range ?? ""));
  const plain = { ...answer.headers, "accept-ranges": "bytes" };
  if (!asked) return { ...answer, headers: plain, body: bytes };
  const start = Number(asked[1]);
  const end = asked[2] ? Math.min(Number(asked[2]), bytes.length - 1) : bytes.length - 1;
  if (start >= bytes.length) {
    return {
      status: 416,
      headers: { "content-range": `bytes */${bytes.length}` },
      body: Buffer.alloc(0),
    };
  }
  const range = `bytes ${start}-${end}/${bytes.length}`;
  return {
    status: 206,
    headers: { ...plain, "content-range": range },
    body: bytes.subarray(start, end + 1),
  };
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

function send(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, { "content-length": body.length, ...headers });
  response.end(body);
}

/** Sends an answer as a fault wants it: cut, stalled or slow. */
async function deliver(
  response: ServerResponse,
  answer: Answer,
  { seen, fault }: { seen: SeenRequest; fault: Fault | undefined },
): Promise<void> {
  const { status, headers, body } = answer;
  response.writeHead(status, { "content-length": body.length, ...headers });
  if (seen.method === "HEAD") return void response.end();
  const until = Math.min(fault?.cut ?? body.length, fault?.stall ?? body.length);
  const step = fault?.bytesPerSecond ? Math.max(1, Math.ceil(fault.bytesPerSecond / 20)) : 65_536;
  response.flushHeaders();
  for (let at = 0; at < until; at += step) {
    if (response.destroyed) return;
    const part = body.subarray(at, Math.min(at + step, until));
    await new Promise((done) => response.write(part, done));
    seen.sent += part.length;
    if (fault?.bytesPerSecond) await wait(50);
  }
  if (until === body.length) response.end();
  // What was written has to arrive before the connection goes.
  else if (fault?.cut !== undefined) setTimeout(() => response.destroy(), 20);
}
