import type { ChildProcess } from "node:child_process";
import { t } from "@vscode/l10n";
import { processTransport } from "../engineProcess.ts";
import { failureOf, HostError } from "../failure.ts";
import { Connection, type RequestOptions } from "../protocol/connection.ts";
import type {
  EngineContract,
  EngineHostContract,
  ProgressEvent,
} from "../protocol/engineContract.ts";
import type { EstimateParams, TrainingEstimate } from "../protocol/trainingContract.ts";

/** How long a process that is not asked any more may take to tidy up, in milliseconds. */
const grace = 2000;

/**
 * Measures a run in a process of its own: a base that is too large ends that one alone, and answers of
 * the playground do not wait for it. Cancelling ends the process.
 */
export async function estimateApart(
  params: EstimateParams,
  fork: () => ChildProcess,
  options: RequestOptions<ProgressEvent>,
): Promise<TrainingEstimate> {
  const child = fork();
  child.stdout?.resume();
  child.stderr?.resume();
  const connection = new Connection<EngineHostContract, EngineContract>(
    processTransport(child),
    {},
  );
  try {
    return await connection.request("estimateTraining", params, options);
  } catch (thrown) {
    const { code, message } = failureOf(thrown);
    if (code !== "engine-gone") throw thrown;
    throw new HostError(
      "no-memory",
      t(
        "The process that measured it ended: {0} Most likely the run needs more memory than is free.",
        message,
      ),
    );
  } finally {
    end(child);
  }
}

/** Its channel closes, upon which an engine ends; what is inside ONNX Runtime is not waited for. */
function end(child: ChildProcess): void {
  if (child.exitCode !== null || child.signalCode !== null) return;
  if (child.connected) child.disconnect();
  const force = setTimeout(() => child.kill("SIGKILL"), grace);
  force.unref();
  child.once("exit", () => clearTimeout(force));
}
