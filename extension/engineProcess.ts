import { t } from "@vscode/l10n";
import type { ChildProcess } from "node:child_process";
import { HostError, failureOf } from "./failure.ts";
import { Connection, type RequestOptions, type Transport } from "./protocol/connection.ts";
import {
  type EngineContract,
  type EngineHostContract,
  protocolVersion,
} from "./protocol/engineContract.ts";
import type { EngineState } from "./state.ts";

export type EngineConnection = Connection<EngineHostContract, EngineContract>;

/** What whoever asks the engine needs of it: `EngineProcess`, or a live connection. */
export type Requester = Pick<EngineConnection, "request">;

export interface EngineOptions {
  fork(): ChildProcess;
  log: {
    /** How long each request took, and how it ended. */
    debug?(text: string): void;
    info(text: string): void;
    warn(text: string): void;
    error(text: string): void;
  };
  /** Brings back what was loaded on a fresh engine, before other requests are let through. */
  restore(connection: EngineConnection): Promise<void>;
  onState(state: EngineState): void;
  /** A restarted engine is ready: after a crash, or because the user asked (no `crash`). */
  onRestarted(outcome: { crash?: string; problem?: string }): void;
  /** The engine died and will not be started again until the user asks. */
  onGaveUp(reason: string): void;
  /** Pauses before the restarts within `crashWindow`, in milliseconds; as many as restarts. */
  delays?: number[];
  crashWindow?: number;
  startLimit?: number;
}

interface Waiter {
  resolve(connection: EngineConnection): void;
  reject(error: Error): void;
}

type EventOf<M> = M extends { event: infer E } ? E : never;

/** The engine's life: started when first needed, restarted when it dies, ended with the window. */
export class EngineProcess {
  private current: EngineState = "stopped";
  private child: ChildProcess | undefined;
  private connection: EngineConnection | undefined;
  private waiters: Waiter[] = [];
  private crashes: number[] = [];
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: EngineOptions) {}

  get state(): EngineState {
    return this.current;
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** Starts the engine when needed; waits while it starts or restarts. */
  async request<M extends keyof EngineContract & string>(
    method: M,
    params: EngineContract[M]["params"],
    options: RequestOptions<EventOf<EngineContract[M]>> = {},
  ): Promise<EngineContract[M]["result"]> {
    const connection = await this.ready(options.signal);
    const started = performance.now();
    const end = (how: string): void =>
      this.options.log.debug?.(
        `${method} ${how} after ${Math.round(performance.now() - started)} ms`,
      );
    try {
      const result = await connection.request(method, params, options);
      end("answered");
      return result;
    } catch (thrown) {
      end(`ended (${failureOf(thrown).code})`);
      throw thrown;
    }
  }

  /** Stops the engine if it runs, starts a fresh one and brings back what was loaded. */
  async restart(): Promise<void> {
    this.stop(t("The engine is being restarted."));
    this.crashes = [];
    this.launch("restarting", undefined);
    await this.ready(undefined);
  }

  dispose(): void {
    this.stop(t("Graft is closing."));
    this.settle((w) => w.reject(new HostError("engine-gone", t("Graft is closing."))));
  }

  private ready(signal: AbortSignal | undefined): Promise<EngineConnection> {
    if (this.current === "ready" && this.connection) return Promise.resolve(this.connection);
    if (this.current === "failed") {
      const text = t("The Graft engine is not running. Restart it with “Graft: Restart Engine”.");
      return Promise.reject(new HostError("engine-gone", text, { refused: true }));
    }
    if (this.current === "stopped") this.launch("starting", undefined);
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { resolve, reject };
      this.waiters.push(waiter);
      signal?.addEventListener("abort", () => reject(new HostError("cancelled", t("Cancelled."))), {
        once: true,
      });
    });
  }

  /** `crash` is the reason of the restart, when there is one to tell the user about. */
  private launch(as: "starting" | "restarting", crash: string | undefined): void {
    this.setState(as);
    const child = this.options.fork();
    this.child = child;
    this.listen(child);
    const connection: EngineConnection = new Connection(processTransport(child), {});
    this.connection = connection;
    void this.greet(child, connection, { as, crash });
  }

  private async greet(
    child: ChildProcess,
    connection: EngineConnection,
    { as, crash }: { as: "starting" | "restarting"; crash: string | undefined },
  ): Promise<void> {
    const limit = setTimeout(() => child.kill("SIGKILL"), this.options.startLimit ?? 30_000);
    let problem: string | undefined;
    try {
      const hello = await connection
        .request("hello", { version: protocolVersion })
        .finally(() => clearTimeout(limit));
      this.options.log.info(`Engine ${hello.pid} is ready (${hello.runtime}).`);
      if (as === "restarting") await this.options.restore(connection);
    } catch (thrown) {
      const failure = failureOf(thrown);
      // A dead engine is the exit listener's business, which tries again.
      if (failure.code === "engine-gone" || this.child !== child) return;
      if (as === "starting") return this.giveUp(failure.message);
      problem = failure.message;
    }
    if (this.child !== child) return;
    this.setState("ready");
    this.settle((w) => w.resolve(connection));
    if (as === "restarting") this.options.onRestarted({ crash, problem });
  }

  private listen(child: ChildProcess): void {
    const { log } = this.options;
    child.stdout?.setEncoding("utf8").on("data", (text: string) => log.info(text.trimEnd()));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => log.warn(text.trimEnd()));
    const ended = (reason: string): void => {
      if (this.child === child) this.crashed(reason);
    };
    child.once("exit", (code, signal) => ended(exitReason(code, signal)));
    child.once("error", (error) => ended(error.message));
  }

  private crashed(reason: string): void {
    this.options.log.error(`The engine stopped: ${reason}.`);
    this.child = undefined;
    const delays = this.options.delays ?? [200, 2000];
    const since = Date.now() - (this.options.crashWindow ?? 60_000);
    this.crashes = [...this.crashes.filter((at) => at > since), Date.now()];
    const delay = delays[this.crashes.length - 1];
    if (delay === undefined) return this.giveUp(reason);
    this.setState("restarting");
    this.timer = setTimeout(() => this.launch("restarting", reason), delay);
  }

  private giveUp(reason: string): void {
    this.stop(reason);
    this.setState("failed");
    this.settle((w) =>
      w.reject(
        new HostError(
          "engine-gone",
          t("The Graft engine is not running. Restart it with “Graft: Restart Engine”."),
        ),
      ),
    );
    this.options.onGaveUp(reason);
  }

  private stop(reason: string): void {
    clearTimeout(this.timer);
    const child = this.child;
    this.child = undefined;
    this.connection?.close(reason);
    this.connection = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill();
    const force = setTimeout(() => child.kill("SIGKILL"), 2000);
    force.unref();
    child.once("exit", () => clearTimeout(force));
  }

  private setState(state: EngineState): void {
    if (this.current === state) return;
    this.current = state;
    this.options.onState(state);
  }

  private settle(each: (waiter: Waiter) => void): void {
    const waiters = this.waiters;
    this.waiters = [];
    waiters.forEach(each);
  }
}

/** Process IPC as a transport; plain JSON, so that a later engine may live elsewhere. */
export function processTransport(child: ChildProcess): Transport {
  return {
    send(message) {
      // Sending to a dying process reports through the callback; the exit event says the rest.
      if (child.connected) child.send(message as object, () => undefined);
    },
    onMessage: (listener) => void child.on("message", listener),
    onClose(listener) {
      const close = (reason: string): void =>
        listener(t("The Graft engine stopped ({0}).", reason));
      child.once("exit", (code, signal) => close(exitReason(code, signal)));
      child.once("error", (error) => close(error.message));
    },
  };
}

function exitReason(code: number | null, signal: NodeJS.Signals | null): string {
  return signal === null ? t("exit code {0}", String(code)) : t("signal {0}", signal);
}
