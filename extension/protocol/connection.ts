import { t } from "@vscode/l10n";
import { asGraftError, cancelled, type ErrorCode, GraftError } from "../core/base/errors.ts";

/** What one side offers: one line a method. `event` is what a running request may report. */
export type Contract = Record<string, { params: unknown; result: unknown; event?: unknown }>;

type EventOf<M> = M extends { event: infer E } ? E : never;

/** Carries plain data between two ends; implemented over process IPC and over `postMessage`. */
export interface Transport {
  send(message: unknown): void;
  onMessage(listener: (message: unknown) => void): void;
  /** Called once when the other end is gone; the reason is for people. */
  onClose(listener: (reason: string) => void): void;
}

export interface RequestOptions<E> {
  onEvent?: (event: E) => void;
  signal?: AbortSignal;
}

export interface HandlerContext<E> {
  emit(event: E): void;
  signal: AbortSignal;
}

/** The handlers of a contract; the compiler asks for each. */
export type Handlers<C extends Contract> = {
  [M in keyof C]: (
    params: C[M]["params"],
    context: HandlerContext<EventOf<C[M]>>,
  ) => Promise<C[M]["result"]> | C[M]["result"];
};

type Message =
  | { kind: "request"; id: number; method: string; params: unknown }
  | { kind: "event"; id: number; event: unknown }
  | { kind: "result"; id: number; result: unknown }
  | { kind: "error"; id: number; error: WireError }
  | { kind: "cancel"; id: number };

interface WireError {
  code: ErrorCode;
  message: string;
  details: Record<string, unknown>;
}

interface Pending {
  resolve(result: unknown): void;
  reject(error: GraftError): void;
  onEvent?: (event: never) => void;
}

/**
 * The one protocol of Graft, for host ⇄ engine and host ⇄ webview. Each request gets exactly one
 * result or error; closing rejects what is pending here and aborts what is running here.
 */
export class Connection<Local extends Contract, Remote extends Contract> {
  private readonly pending = new Map<number, Pending>();
  private readonly running = new Map<number, AbortController>();
  private nextId = 1;
  private closedBecause: string | undefined;

  constructor(
    private readonly transport: Transport,
    private readonly handlers: Handlers<Local>,
  ) {
    transport.onMessage((message) => this.receive(message as Message));
    transport.onClose((reason) => this.close(reason));
  }

  request<M extends keyof Remote & string>(
    method: M,
    params: Remote[M]["params"],
    options: RequestOptions<EventOf<Remote[M]>> = {},
  ): Promise<Remote[M]["result"]> {
    const { signal, onEvent } = options;
    if (this.closedBecause !== undefined) return Promise.reject(gone(this.closedBecause));
    if (signal?.aborted) return Promise.reject(cancelled());
    const id = this.nextId++;
    const abort = (): void => this.post({ kind: "cancel", id });
    return new Promise((resolve, reject: (error: GraftError) => void) => {
      const settle = (): void => {
        signal?.removeEventListener("abort", abort);
        this.pending.delete(id);
      };
      this.pending.set(id, {
        resolve: (result) => {
          settle();
          resolve(result as Remote[M]["result"]);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
        onEvent: onEvent as ((event: never) => void) | undefined,
      });
      signal?.addEventListener("abort", abort, { once: true });
      this.post({ kind: "request", id, method, params });
    });
  }

  close(reason: string): void {
    if (this.closedBecause !== undefined) return;
    this.closedBecause = reason;
    for (const pending of [...this.pending.values()]) pending.reject(gone(reason));
    for (const controller of this.running.values()) controller.abort();
    this.running.clear();
  }

  private receive(message: Message): void {
    if (this.closedBecause !== undefined || typeof message !== "object" || message === null) return;
    switch (message.kind) {
      case "request":
        void this.serve(message.id, message.method, message.params);
        return;
      case "cancel":
        this.running.get(message.id)?.abort();
        return;
      case "event":
        this.pending.get(message.id)?.onEvent?.(message.event as never);
        return;
      case "result":
        this.pending.get(message.id)?.resolve(message.result);
        return;
      case "error": {
        const { code, message: text, details } = message.error;
        this.pending.get(message.id)?.reject(new GraftError(code, text, details));
        return;
      }
      default:
        // A window may receive messages of other origins; they are not ours to answer.
        return;
    }
  }

  private async serve(id: number, method: string, params: unknown): Promise<void> {
    const controller = new AbortController();
    this.running.set(id, controller);
    const emit = (event: unknown): void => {
      if (this.running.has(id)) this.post({ kind: "event", id, event });
    };
    try {
      const handler = Object.hasOwn(this.handlers, method) ? this.handlers[method] : undefined;
      if (!handler) throw new GraftError("internal", t("Unknown method {0}.", method));
      const result = await handler(params, { emit, signal: controller.signal } as never);
      this.post({ kind: "result", id, result });
    } catch (thrown) {
      const { code, message, details } = asGraftError(thrown);
      this.post({ kind: "error", id, error: { code, message, details } });
    } finally {
      this.running.delete(id);
    }
  }

  private post(message: Message): void {
    if (this.closedBecause === undefined) this.transport.send(message);
  }
}

function gone(reason: string): GraftError {
  return new GraftError("engine-gone", reason);
}
