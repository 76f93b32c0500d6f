import * as vscode from "vscode";
import { HostError } from "./failure.ts";
import type { RequestOptions } from "./protocol/connection.ts";
import type { BaseModelInfo } from "./protocol/engineContract.ts";
import type {
  GenerateColumnsEvent,
  GenerateColumnsParams,
  GenerateColumnsResult,
} from "./protocol/generationContract.ts";
import type { Session } from "./session.ts";
import type { Requester } from "./engineProcess.ts";
import { stopAtOnce } from "./stopAtOnce.ts";

/** What asking several columns at once needs. */
export interface Models {
  readonly engine: Requester;
  readonly session: Session;
}

/** The base that answers; says what is missing when none does. */
export function answeringBase({ state }: Session): BaseModelInfo {
  const { base } = state;
  if (!base) {
    const text = vscode.l10n.t("No base model is loaded. Load a base model first.");
    throw new HostError("bad-request", text);
  }
  if (base.task === "language-modeling") return base;
  const text = vscode.l10n.t(
    "{0} is a model for {1} and does not write text: use Graft: Run Test Prompt.",
    base.name,
    base.task.replaceAll("-", " "),
  );
  throw new HostError("unsupported", text);
}

/** Lets the loaded base answer with adapters of its own for every column. */
export async function askColumns(
  { engine, session }: Models,
  params: Omit<GenerateColumnsParams, "base">,
  options: RequestOptions<GenerateColumnsEvent>,
): Promise<GenerateColumnsResult> {
  const { path: base } = answeringBase(session);
  const result = await stopAtOnce(
    options,
    (own) => engine.request("generateColumns", { base, ...params }, own),
    {
      stopped: () => {
        throw new HostError("cancelled", vscode.l10n.t("Cancelled."));
      },
    },
  );
  const [first] = result.columns;
  if (first) session.noteAnswer(first);
  return result;
}
