/** Where windows attach to a run: a socket in a temporary folder, or a named pipe. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { t } from "@vscode/l10n";
import { unsupported } from "../../core/base/errors.ts";
import { Connection, type Handlers } from "../../protocol/connection.ts";
import { socketTransport } from "../../protocol/socketTransport.ts";
import { runVersion } from "../../protocol/trainingContract.ts";
import type {
  RunContract,
  RunEvent,
  RunHostContract,
  RunState,
} from "../../protocol/runsContract.ts";

/** What windows may ask of a run. */
export interface RunControls {
  readonly state: RunState;
  readonly step: number;
  pause(): void;
  resume(): void;
  stop(what: "keep" | "discard"): void;
  saveCheckpoint(): void;
}

/** How often a run looks whether its socket is still there, in milliseconds. */
const lookEvery = 5000;

/** Tells whoever watches what the run reports, and takes their wishes. */
export class RunServer {
  private readonly watching = new Set<(event: RunEvent) => void>();
  private readonly sockets = new Set<Socket>();
  private readonly over = new AbortController();

  private server: Server | undefined;
  private readonly looking: NodeJS.Timeout;

  private constructor(
    private readonly controls: RunControls,
    readonly path: string,
    lookAgain: number,
  ) {
    this.looking = setInterval(() => void this.lookAgain().catch(() => undefined), lookAgain);
    this.looking.unref();
  }

  static async listen(controls: RunControls, lookAgain = lookEvery): Promise<RunServer> {
    const made = new RunServer(controls, socketPath(), lookAgain);
    await made.open();
    return made;
  }

  private async open(): Promise<void> {
    const server = createServer((socket) => {
      this.sockets.add(socket);
      socket.once("close", () => this.sockets.delete(socket));
      new Connection<RunContract, RunHostContract>(
        socketTransport(socket),
        this.handlers(this.controls),
      );
    });
    server.listen(this.path);
    await once(server, "listening");
    this.server = server;
  }

  /** Systems tidy up their temporary folder; a run without a socket could not be reached any more. */
  private async lookAgain(): Promise<void> {
    if (process.platform === "win32" || existsSync(this.path)) return;
    this.server?.close();
    await this.open();
  }

  tell(event: RunEvent): void {
    for (const listener of [...this.watching]) listener(event);
  }

  /** Ends what watchers asked for, gives their answers time to leave, and closes. */
  async close(): Promise<void> {
    clearInterval(this.looking);
    this.over.abort();
    await new Promise((done) => setTimeout(done, 20));
    for (const socket of this.sockets) socket.end();
    this.server?.close();
    if (process.platform !== "win32") rmSync(this.path, { force: true });
  }

  private handlers(controls: RunControls): Handlers<RunContract> {
    return {
      hello: ({ version }) => {
        if (version === runVersion) {
          return { pid: process.pid, state: controls.state, step: controls.step };
        }
        throw unsupported(
          t("This run was started by another version of Graft"),
          t("Reload the window."),
        );
      },
      watch: (_, { emit, signal }) =>
        new Promise((done) => {
          const end = (): void => {
            this.watching.delete(emit);
            done({ state: controls.state });
          };
          this.watching.add(emit);
          signal.addEventListener("abort", end, { once: true });
          this.over.signal.addEventListener("abort", end, { once: true });
        }),
      pause: () => nothing(controls.pause()),
      resume: () => nothing(controls.resume()),
      stop: ({ what }) => nothing(controls.stop(what)),
      saveCheckpoint: () => nothing(controls.saveCheckpoint()),
    };
  }
}

function nothing(_: void): null {
  return null;
}

/** Short: a socket's path has room for about a hundred bytes. */
function socketPath(): string {
  const name = `${socketPrefix}${process.pid}-${randomBytes(4).toString("hex")}`;
  return process.platform === "win32" ? pipes + name : path.join(tmpdir(), `${name}.sock`);
}

const pipes = "\\\\.\\pipe\\";
const socketPrefix = "graft-run-";

/** A folder that came from elsewhere may name anything: only what a run makes is connected to. */
export function isSocketOfRun(where: string): boolean {
  return process.platform === "win32"
    ? where.startsWith(pipes + socketPrefix)
    : path.isAbsolute(where) && path.basename(where).startsWith(socketPrefix);
}
