import { t } from "@vscode/l10n";
import "./texts.ts";
import { Connection, type Transport } from "../protocol/connection.ts";
import type { EngineContract, EngineHostContract } from "../protocol/engineContract.ts";
import { createService } from "./service.ts";

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

new Connection<EngineContract, EngineHostContract>(parentTransport(), createService());
// Without an editor there is nobody to answer; a run inside ONNX Runtime is not worth waiting for.
process.once("disconnect", () => process.exit(0));
