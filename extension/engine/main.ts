import { t } from "@vscode/l10n";
import "./texts.ts";
import { asGraftError } from "../core/base/errors.ts";
import { Connection, type Transport } from "../protocol/connection.ts";
import type { EngineContract, EngineHostContract } from "../protocol/engineContract.ts";
import { createService } from "./service.ts";
import { trainIn } from "./training/runProcess.ts";

/** The process channel that the host opened by forking. */
function parentTransport(): Transport {
  return {
    // The callback takes the error of an editor that is gone; "disconnect" ends this process.
    send: (message) => void process.send?.(message, undefined, undefined, () => undefined),
    onMessage: (listener) => void process.on("message", listener),
    onClose: (listener) =>
      void process.once("disconnect", () => listener(t("The editor is gone."))),
  };
}

/** With a run's folder this is that run's process, which needs no editor. */
const [, , folder] = process.argv;
if (folder === undefined) serve();
else void train(folder);

function serve(): void {
  new Connection<EngineContract, EngineHostContract>(parentTransport(), createService());
  // Without an editor there is nobody to answer; a run inside ONNX Runtime is not worth waiting for.
  process.once("disconnect", () => process.exit(0));
}

async function train(run: string): Promise<void> {
  try {
    // The editor says where rounded weights are kept.
    process.exit(
      await trainIn(run, { quantCacheDir: process.env["GRAFT_QUANTIZED"] || undefined }),
    );
  } catch (error) {
    process.stderr.write(`${asGraftError(error).message}\n`);
    process.exit(1);
  }
}
