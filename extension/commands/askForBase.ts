import * as vscode from "vscode";
import type { Graft } from "../context.ts";
import type { AdapterSummary } from "../protocol/engineContract.ts";
import { baseLabel } from "../state.ts";
import { download } from "./hubDownload.ts";
import { type HubPlace, readHubId } from "./hubId.ts";
import { chooseBase } from "./pickers.ts";

/** Asks for the base of an adapter that leads to none on this machine; its path, when one is chosen. */
export async function askForBase(
  graft: Graft,
  adapter: AdapterSummary,
): Promise<string | undefined> {
  const folder = vscode.l10n.t("Choose Folder…");
  const pick = vscode.l10n.t("Load Base Model…");
  const text =
    adapter.baseName === null
      ? vscode.l10n.t("{0} does not name its base model. Choose one to load.", adapter.name)
      : vscode.l10n.t(
          "{0} was trained on {1}, which was not found on this machine. Where is it?",
          adapter.name,
          baseLabel(graft.session.state, adapter),
        );
  const place = adapter.baseName === null ? undefined : readHubId(adapter.baseName);
  const fromHub = vscode.l10n.t("Download It…");
  const actions = [...(place ? [fromHub] : []), folder, pick];
  const chosen = await vscode.window.showWarningMessage(text, ...actions);
  if (chosen === fromHub && place) return downloadBase(graft, place);
  if (chosen === pick) return (await chooseBase(graft, undefined))?.path;
  if (chosen !== folder) return undefined;
  const [uri] =
    (await vscode.window.showOpenDialog({
      canSelectFiles: false,
      canSelectFolders: true,
      openLabel: vscode.l10n.t("Use as Base Model"),
      title: vscode.l10n.t("Base model of {0}", adapter.name),
    })) ?? [];
  return uri?.fsPath;
}

async function downloadBase(graft: Graft, place: HubPlace): Promise<string | undefined> {
  const result = await download(graft, place);
  if (result) await graft.session.refresh();
  return result?.folder;
}
