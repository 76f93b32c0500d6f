import * as vscode from "vscode";
import type { Graft } from "../context.ts";
import { failureOf } from "../failure.ts";
import type { AdapterInfo, AdapterSummary } from "../protocol/engineContract.ts";
import { adapterStatus } from "../state.ts";
import { presentError } from "../views/errors.ts";
import { withProgress } from "../views/progress.ts";
import { activateFirst, loadBase, loadBaseOf, requireLoadable, requireTrust } from "./steps.ts";

export interface Loads {
  readonly loaded: AdapterInfo[];
  /** Those that could not be, each with the reason. */
  readonly failed: { adapter: AdapterSummary; thrown: unknown }[];
}

/**
 * Loads adapters onto a base, which is loaded first when it is not; then says what did not fit.
 * @param options `use`: what becomes of the first that was loaded; it answers where none does, when absent
 */
export async function loadOnto(
  graft: Graft,
  base: string,
  adapters: readonly AdapterSummary[],
  { use = activateFirst }: { use?: (graft: Graft, name: string) => Promise<void> } = {},
): Promise<void> {
  if (!requireTrust()) return;
  const isThere = graft.session.state.base?.path === base;
  const forAdapter = adapters.find(({ problem }) => problem === undefined)?.path;
  if (!isThere && !(await loadBase(graft, base, { forAdapter }))) return;
  const loads = await loadEach(graft, adapters);
  const [first] = loads.loaded;
  if (first) await use(graft, first.name);
  sayFailed(graft, loads, (adapter) => loadOnto(graft, base, [adapter], { use }));
}

/** What a drop onto a base does: a single adapter answers from then on, as after a click on its row. */
export function dropOnto(
  graft: Graft,
  base: string,
  adapters: readonly AdapterSummary[],
): Promise<void> {
  const alone = ({ session }: Graft, name: string): Promise<void> =>
    session.activate([{ name, weight: 1 }]);
  return loadOnto(graft, base, adapters, adapters.length === 1 ? { use: alone } : {});
}

/** Loads what is not loaded, one after the other; one that fails does not keep the others from it. */
export async function loadEach(graft: Graft, adapters: readonly AdapterSummary[]): Promise<Loads> {
  const { session } = graft;
  const loads: Loads = { loaded: [], failed: [] };
  const [first] = adapters;
  if (!session.state.base && first && !(await loadBaseOf(graft, first))) return loads;
  for (const adapter of adapters) {
    const title = vscode.l10n.t("Loading {0}", adapter.name);
    try {
      requireLoadable(adapter);
      loads.loaded.push(
        await withProgress(title, (work) => session.loadAdapter(adapter.path, work)),
      );
    } catch (thrown) {
      if (failureOf(thrown).code === "cancelled") break;
      loads.failed.push({ adapter, thrown });
    }
  }
  return loads;
}

/** One failure is told with the ways out of it; several are told together, by name and reason. */
export function sayFailed(
  graft: Graft,
  { failed }: Loads,
  again: (adapter: AdapterSummary) => Promise<unknown>,
): void {
  const [first, ...others] = failed;
  if (!first) return;
  const { adapter, thrown } = first;
  if (others.length === 0) {
    const loadAnyway = (): Promise<unknown> =>
      graft.session.loadAdapter(adapter.path, { allowPartial: true }).then(() => again(adapter));
    const ways = { adapter, loadAnyway, again: () => again(adapter) };
    return void presentError(graft, thrown, ways);
  }
  const reasons = failed.map((each) => `${each.adapter.name}: ${reasonOf(graft, each)}`);
  for (const reason of reasons) graft.log.warn(reason);
  const names = failed.map((each) => each.adapter.name).join(", ");
  const showLog = vscode.l10n.t("Show Log");
  const text = vscode.l10n.t("Not loaded: {0}. {1}", names, reasons[0] ?? "");
  void vscode.window
    .showWarningMessage(text, showLog)
    .then((chosen) => chosen && vscode.commands.executeCommand("graft.showLog"));
}

function reasonOf({ session }: Graft, { adapter, thrown }: Loads["failed"][number]): string {
  const status = adapterStatus(session.state, adapter);
  return "reason" in status ? status.reason : failureOf(thrown).message;
}
