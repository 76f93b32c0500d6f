import * as vscode from "vscode";
import type { Graft } from "../context.ts";
import { HostError } from "../failure.ts";
import type { AdapterSummary, BaseModelInfo } from "../protocol/engineContract.ts";
import { withProgress } from "../views/progress.ts";
import { download } from "./hubDownload.ts";
import type { HubPlace } from "./hubId.ts";
import { activateFirst, loadBase, withAdapter } from "./steps.ts";

/**
 * Downloads a model into the Hugging Face cache and loads it. An adapter that does not fit the loaded
 * base is refused before any of its weights are fetched.
 * @param isAdapter where the Hub has said what it is
 */
export async function loadFromHub(graft: Graft, place: HubPlace, isAdapter = false): Promise<void> {
  const { hub, session } = graft;
  const { base } = session.state;
  const isKnownAdapter = isAdapter || (await kindOf(graft, place)) === "adapter";
  if (isKnownAdapter && base) await refuseMisfit(graft, place, base);
  const result = await download(graft, place);
  if (!result) return;
  await session.refresh();
  if (!isKnownAdapter) return void (await loadBase(graft, result.folder));
  const listed = session.state.adapters.find(({ path }) => path === result.folder);
  const { peftType, method, rank } = await hub.ask("describeHubAdapter", place);
  const adapter = listed ?? bareAdapter(place.id, result, { peftType, method, rank });
  await withAdapter(graft, adapter, ({ name }) => activateFirst(graft, name));
}

async function kindOf({ hub }: Graft, place: HubPlace): Promise<string> {
  const title = vscode.l10n.t("Asking the Hub about {0}", place.id);
  const ask = { ...place, withBase: false };
  return (await withProgress(title, ({ signal }) => hub.ask("planDownload", ask, { signal }))).kind;
}

/** @throws misfit, saying why, while nothing but headers was read */
async function refuseMisfit({ hub }: Graft, place: HubPlace, base: BaseModelInfo): Promise<void> {
  const title = vscode.l10n.t("Checking whether {0} fits {1}", place.id, base.name);
  const fit = await withProgress(title, ({ signal }) =>
    hub.ask("checkRemoteFit", { ...place, base: base.path }, { signal }),
  );
  if (fit.fits !== false) return;
  const text = vscode.l10n.t(
    "{0} does not fit {1}: {2} Nothing was downloaded.",
    place.id,
    base.name,
    fit.reason ?? "",
  );
  throw new HostError("misfit", text);
}

/** An adapter that discovery has not listed: its cache may not be looked into. */
function bareAdapter(
  id: string,
  { folder: path, base: basePath }: { folder: string; base: string | null },
  known: Pick<AdapterSummary, "peftType" | "method" | "rank">,
): AdapterSummary {
  const name = id.split("/").at(-1) ?? id;
  const unknown = { parameters: 0, bytes: 0, modified: 0, baseName: null };
  return { path, name, basePath, source: "cache", ...known, ...unknown };
}
