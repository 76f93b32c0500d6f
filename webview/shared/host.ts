/** The page's side of the one protocol: a Connection over `postMessage`, and state that survives. */
import {
  Connection,
  type Contract,
  type Handlers,
  type Transport,
} from "../../extension/protocol/connection.ts";

interface HostApi {
  postMessage(message: unknown): void;
  getState(): unknown;
  setState(state: unknown): void;
}

declare function acquireVsCodeApi(): HostApi;

// VS Code hands this out once per page.
const api = acquireVsCodeApi();

const transport: Transport = {
  send: (message) => api.postMessage(message),
  onMessage: (listener) =>
    window.addEventListener("message", (event: MessageEvent<unknown>) => listener(event.data)),
  // The page ends with its panel; there is nobody left to tell.
  onClose: () => undefined,
};

export function connectToHost<Local extends Contract, Remote extends Contract>(
  handlers: Handlers<Local>,
): Connection<Local, Remote> {
  return new Connection<Local, Remote>(transport, handlers);
}

/** What `saveState` stored, also after a reload of the window; untrusted until parsed. */
export function loadState(): unknown {
  return api.getState();
}

/** Stores plain data. The host's panel serializer receives it when the window is reloaded. */
export function saveState(state: unknown): void {
  api.setState(state);
}
