import { connect } from "node:net";
import { t } from "@vscode/l10n";
import { HostError } from "../failure.ts";
import { Connection } from "../protocol/connection.ts";
import { socketTransport } from "../protocol/socketTransport.ts";
import { runVersion } from "../protocol/trainingContract.ts";
import type { RunContract, RunHostContract, RunProcess } from "../protocol/runsContract.ts";

/** A window's end of a run's process: it may come and go, the run does not care. */
export interface RunLink {
  readonly connection: Connection<RunHostContract, RunContract>;
  close(): void;
}

/** @throws HostError "engine-gone" where the process is no more, or does not answer */
export async function attach({ socket: path, pid }: RunProcess, limit = 5000): Promise<RunLink> {
  const socket = connect(path);
  const connection = new Connection<RunHostContract, RunContract>(socketTransport(socket), {});
  const close = (): void => {
    connection.close(t("The connection was closed."));
    socket.destroy();
  };
  // A pipe whose process hangs takes connections, but says nothing.
  const timer = setTimeout(close, limit);
  try {
    const hello = await connection.request("hello", { version: runVersion });
    if (hello.pid !== pid)
      throw new HostError(
        "engine-gone",
        t("The run has another process by now. Refresh the list of runs."),
      );
    return { connection, close };
  } catch (thrown) {
    close();
    throw thrown;
  } finally {
    clearTimeout(timer);
  }
}
