import * as vscode from "vscode";
import type { Graft } from "../context.ts";
import type { DownloadResult } from "../protocol/hubContract.ts";
import { formatBytes } from "../views/format.ts";
import { withProgress } from "../views/progress.ts";
import type { HubPlace } from "./hubId.ts";

/** Above this, a download is begun only after its size was agreed to. */
const smallDownload = 20e6;

/**
 * The folder of a model in the cache, an adapter's base included, with progress in bytes. What a
 * cancel leaves is gone on from later. Undefined when the user does not agree to the size.
 */
export async function download(graft: Graft, place: HubPlace): Promise<DownloadResult | undefined> {
  const { hub } = graft;
  const asking = vscode.l10n.t("Asking the Hub about {0}", place.id);
  // An adapter goes onto the base that is loaded; one whose base is nowhere asks for it later.
  const isWithBase = graft.session.state.base === null;
  const wish = { ...place, withBase: isWithBase };
  const plan = await withProgress(asking, ({ signal }) =>
    hub.ask("planDownload", wish, { signal }),
  );
  if (!(await agreeToSize(place.id, plan.allBytes))) return undefined;
  // The step that is shown behind it says what is downloaded.
  const title = vscode.l10n.t("Hugging Face Hub");
  const asked = { ...wish, withBase: isWithBase && plan.baseProblem === undefined };
  const result = await withProgress(title, (work) => hub.ask("downloadFromHub", asked, work));
  for (const warning of result.warnings) graft.log.warn(`${place.id}: ${warning}`);
  return result;
}

async function agreeToSize(id: string, bytes: number): Promise<boolean> {
  if (bytes <= smallDownload) return true;
  const size = formatBytes(bytes);
  const yes = vscode.l10n.t("Download {0}", size);
  const text = vscode.l10n.t("{0} is not on this machine: {1} to download.", id, size);
  return (await vscode.window.showInformationMessage(text, { modal: true }, yes)) === yes;
}
