/** Where windows attach to a run: a socket in a temporary folder, or a named pipe. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { t } from "@vscode/l10n";
import { unsupported } from "../../core/base/errors.ts";
import { Connection, type Handlers } from "../../protocol/connection.ts";
import { socketTransport } from "../../protocol/socketTransport.ts";
import {
  type RunContract,
  type RunEvent,
  type RunHostContract,
  type RunState,
  runVersion,
} from "../../protocol/trainingContract.ts";

/** What windows may ask of a run. */
export interface RunControls {
  readonly state: RunState;
  readonly step: number;
  pause(): void;
  resume(): void;
  stop(what: "keep" | "discard"): void;
  saveCheckpoint(): void;
}

/** Tells whoever watches what the run reports, and takes their wishes. */
export class RunServer {
  private readonly watching = new Set<(event: RunEvent) => void>();
  private readonly sockets = new Set<Socket>();
  private readonly over = new AbortController();

  private constructor(
    private readonly server: Server,
    readonly path: string,
  ) {}

  static async listen(controls: RunControls): Promise<RunServer> {
    const where = socketPath();
    const server = createServer();
    const made = new RunServer(server, where);
    server.on("connection", (socket) => {
      made.sockets.add(socket);
      socket.once("close", () => made.sockets.delete(socket));
      new Connection<RunContract, RunHostContract>(
        socketTransport(socket),
        made.handlers(controls),
      );
    });
    server.listen(where);
    await once(server, "listening");
    return made;
  }

  tell(event: RunEvent): void {
    for (const listener of [...this.watching]) listener(event);
  }

  /** Ends what watchers asked for, gives their answers time to leave, and closes. */
  async close(): Promise<void> {
    this.over.abort();
    await new Promise((done) => setTimeout(done, 20));
    for (const socket of this.sockets) socket.end();
    this.server.close();
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
  const name = `graft-run-${process.pid}-${randomBytes(4).toString("hex")}`;
  return process.platform === "win32"
    ? `\\\\.\\pipe\\${name}`
    : path.join(tmpdir(), `${name}.sock`);
}
