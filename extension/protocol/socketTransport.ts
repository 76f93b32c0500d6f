import { t } from "@vscode/l10n";
import type { Socket } from "node:net";
import type { Transport } from "./connection.ts";

/** A message longer than this is no message of ours: whoever sends it is cut off. In characters. */
const longest = 64 * 1024 * 1024;

/** A socket or named pipe as a transport: JSON, one message a line. */
export function socketTransport(socket: Socket): Transport {
  socket.setEncoding("utf8");
  return {
    send(message) {
      if (socket.writable) socket.write(`${JSON.stringify(message)}\n`);
    },
    onMessage(listener) {
      let rest = "";
      socket.on("data", (text: string) => {
        const lines = (rest + text).split("\n");
        rest = lines.pop() ?? "";
        if (rest.length > longest) return socket.destroy();
        for (const line of lines) {
          const message = parsed(line);
          if (message === undefined) return socket.destroy();
          listener(message);
        }
      });
    },
    onClose(listener) {
      // An error is followed by "close"; without a listener it would end the process.
      let reason = t("The connection was closed.");
      socket.on("error", (error) => (reason = error.message));
      socket.once("close", () => listener(reason));
    },
  };
}

/** Undefined for what is not JSON: the other end is not one of ours. */
function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
