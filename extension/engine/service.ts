import { t } from "@vscode/l10n";
import { unsupported } from "../core/base/errors.ts";
import { families } from "../core/models/index.ts";
import { methods } from "../core/peft/index.ts";
import { runtimeLabel } from "../core/session/ortSession.ts";
import type { Handlers } from "../protocol/connection.ts";
import { type EngineContract, protocolVersion } from "../protocol/engineContract.ts";
import { AdapterSummaries } from "./adapterSummaries.ts";
import { analysisHandlers } from "./analysis.ts";
import { configHandlers } from "./config.ts";
import { discover, readAdapters } from "./discover.ts";
import { generationHandlers } from "./generation.ts";
import { hubHandlers } from "./hub.ts";
import { checkFits, inspectAdapter } from "./inspect.ts";
import { Library } from "./library.ts";
import { loadingHandlers } from "./loading.ts";
import { modelHandlers } from "./models.ts";
import { predictHandlers } from "./predict.ts";
import { promptsHandlers } from "./prompts.ts";
import { statusResult } from "./statusResult.ts";
import { tensorHandlers } from "./tensors.ts";
import { runsHandlers } from "./training/handlers.ts";
import { trainingHandlers } from "./training/trainingHandlers.ts";
import { writeHandlers } from "./write.ts";

/** What the engine answers to each request of its contract. */
export function createService(library = new Library()): Handlers<EngineContract> {
  const summaries = new AdapterSummaries();
  return {
    hello: ({ version }) => {
      if (version !== protocolVersion) {
        throw unsupported(
          t("The editor speaks protocol {0}, this engine {1}", version, protocolVersion),
          t("Reload the window."),
        );
      }
      return {
        version: protocolVersion,
        pid: process.pid,
        runtime: runtimeLabel,
        methods: methods.map((method) => method.peftType),
        families: families.map((family) => family.modelType),
      };
    },
    discover: (params, context) => discover(params, context, summaries),
    readAdapters: (params, context) => readAdapters(params, context, summaries),
    ...modelHandlers(library),
    ...writeHandlers(library),
    ...hubHandlers(library),
    ...configHandlers(library),
    ...predictHandlers(library),
    ...promptsHandlers(library),
    ...generationHandlers(library),
    ...loadingHandlers,
    ...tensorHandlers,
    ...runsHandlers,
    ...trainingHandlers,
    ...analysisHandlers,
    modelStatus: ({ base }) => statusResult(library.require(base)),
    checkFit: ({ base, paths }) => checkFits(paths, library.require(base)),
    inspectAdapter: ({ path: folder, base }) => inspectAdapter(folder, library.find(base)),
  };
}
