import * as vscode from "vscode";
import type { Graft } from "../context.ts";
import type {
  AdapterInfo,
  AdapterSummary,
  BaseModelInfo,
  LoadOptions,
  Precision,
} from "../protocol/engineContract.ts";
import { failureOf, HostError } from "../failure.ts";
import { formatMethod, formatSeconds } from "../views/format.ts";
import { withProgress } from "../views/progress.ts";
import { presentError } from "../views/errors.ts";
import { wake } from "../wake.ts";
import { askForBase } from "./askForBase.ts";

/** Steps that several commands share; each says what is missing and offers what helps. */

export function requireTrust(
  text = vscode.l10n.t(
    "Loading models needs a trusted workspace. Adapters can be inspected without it.",
  ),
): boolean {
  if (vscode.workspace.isTrusted) return true;
  const manage = vscode.l10n.t("Manage Workspace Trust");
  void vscode.window
    .showWarningMessage(text, manage)
    .then((chosen) => chosen && vscode.commands.executeCommand("workbench.trust.manage"));
  return false;
}

/**
 * @param options `load`: how to load it, where that was chosen; `forAdapter`: folder of an adapter
 *   that will be loaded on it, and may bring its head
 */
export async function loadBase(
  graft: Graft,
  path: string,
  options: { load?: LoadOptions | undefined; forAdapter?: string | undefined } = {},
): Promise<BaseModelInfo | undefined> {
  if (!requireTrust()) return undefined;
  const { session } = graft;
  const known = session.state.bases.find((b) => b.path === path);
  if (known?.unsupported !== undefined) {
    const text = vscode.l10n.t("{0} cannot be loaded: {1}", known.name, known.unsupported);
    throw new HostError("unsupported", text);
  }
  const title = vscode.l10n.t("Loading {0}", known?.name ?? path);
  const base = await withProgress(title, (work) =>
    session.loadBase(path, { ...work, ...options }),
  ).catch((thrown: unknown) => offerSmaller(graft, thrown, { path, options }));
  if (!base) return undefined;
  const text = vscode.l10n.t("{0} loaded in {1}", base.name, formatSeconds(base.loadSeconds));
  vscode.window.setStatusBarMessage(`$(check) ${text}`, 5000);
  graft.log.info(`${text} (${base.precision}, ${base.device}).`);
  if (base.deviceNote !== "") graft.log.info(`${base.name}: ${base.deviceNote}`);
  if (base.warnings.length > 0) {
    graft.log.warn(base.warnings.join(" "));
    void vscode.window.showWarningMessage(base.warnings.join(" "));
  }
  return base;
}

/** Of a base that does not fit into memory: says so, and loads it in the way that the user takes. */
async function offerSmaller(
  graft: Graft,
  thrown: unknown,
  { path, options }: { path: string; options: NonNullable<Parameters<typeof loadBase>[2]> },
): Promise<BaseModelInfo | undefined> {
  const { code, message, details } = failureOf(thrown);
  if (code !== "no-memory") throw thrown;
  const { load } = options;
  const fits = Array.isArray(details["fits"]) ? (details["fits"] as Precision[]) : [];
  const ways: { title: string; load: LoadOptions }[] = [
    ...fits.map((precision) => ({
      title: vscode.l10n.t("Load in {0}", precision),
      load: { ...load, precision },
    })),
    { title: vscode.l10n.t("Map from Disk"), load: { ...load, memory: "mapped" } },
    { title: vscode.l10n.t("Load Anyway"), load: { ...load, allowTooLarge: true } },
  ];
  const chosen = await vscode.window.showWarningMessage(message, ...ways);
  return chosen && loadBase(graft, path, { ...options, load: chosen.load });
}

/** The loaded base; without one, says what it is needed for and offers to load one. */
export async function requireBase(graft: Graft, purpose: string): Promise<boolean> {
  await wake(graft.session);
  if (graft.session.state.base) return true;
  if (!requireTrust()) return false;
  const pick = vscode.l10n.t("Load Base Model…");
  const useSample = vscode.l10n.t("Use the Sample");
  const sample = graft.session.state.bases.find((b) => b.source === "sample");
  const text = vscode.l10n.t("{0} needs a base model, and none is loaded.", purpose);
  const actions = sample ? [pick, useSample] : [pick];
  const chosen = await vscode.window.showInformationMessage(text, ...actions);
  if (chosen === pick) await vscode.commands.executeCommand("graft.loadBaseModel");
  if (chosen === useSample && sample) await loadBase(graft, sample.path);
  return graft.session.state.base !== null;
}

/** Loads an adapter, its base first when none is loaded. Undefined when it did not come to that. */
async function loadAdapter(
  graft: Graft,
  adapter: AdapterSummary,
): Promise<AdapterInfo | undefined> {
  if (!requireTrust()) return undefined;
  const { session } = graft;
  const known = session.state.loaded.find((l) => l.path === adapter.path);
  if (known) return known;
  requireLoadable(adapter);
  if (!session.state.base && !(await loadBaseOf(graft, adapter))) return undefined;
  return attach(graft, adapter, false);
}

/** @throws unsupported, for one that discovery could not read or that Graft does not run */
export function requireLoadable({ name, problem }: AdapterSummary): void {
  if (problem === undefined) return;
  throw new HostError("unsupported", vscode.l10n.t("{0} cannot be loaded: {1}", name, problem));
}

/**
 * Loads the base that an adapter was trained on. One that is not on this machine is asked for, once:
 * the answer is kept for that adapter, until nothing is there any more.
 */
export async function loadBaseOf(graft: Graft, adapter: AdapterSummary): Promise<boolean> {
  const { session } = graft;
  const path = adapter.basePath ?? (await askForBase(graft, adapter));
  if (path === undefined) return false;
  try {
    const base = await loadBase(graft, path, { forAdapter: adapter.path });
    if (base && adapter.basePath === null) session.rememberBaseOf(adapter.path, base.path);
    return base !== undefined;
  } catch (thrown) {
    if (failureOf(thrown).code === "not-found") session.rememberBaseOf(adapter.path, null);
    throw thrown;
  }
}

/** The first adapter takes part at once: one that is loaded and does nothing misleads. */
export async function activateFirst({ session }: Graft, name: string): Promise<void> {
  if (session.state.active.length === 0) await session.activate([{ name, weight: 1 }]);
}

async function attach(
  graft: Graft,
  adapter: AdapterSummary,
  allowPartial: boolean,
): Promise<AdapterInfo> {
  const title = vscode.l10n.t("Loading {0}", adapter.name);
  const load = (work: object): Promise<AdapterInfo> =>
    graft.session.loadAdapter(adapter.path, { ...work, allowPartial });
  const info = await withProgress(title, load);
  const facts = vscode.l10n.t(
    "{0}, {1} of {2} modules bound",
    formatMethod(info),
    info.bound,
    info.total,
  );
  vscode.window.setStatusBarMessage(`$(check) ${info.name}: ${facts}`, 5000);
  graft.log.info(`${info.name}: ${facts}.`);
  if (info.warnings.length > 0) {
    graft.log.warn(`${info.name}: ${info.warnings.join(" ")}`);
    void vscode.window.showWarningMessage(`${info.name}: ${info.warnings.join(" ")}`);
  }
  return info;
}

/**
 * Loads an adapter and goes on with it. A failure is shown with the ways out of it, and the way
 * that the user takes leads on to the same end.
 */
export async function withAdapter(
  graft: Graft,
  adapter: AdapterSummary,
  then: (loaded: AdapterInfo) => Promise<unknown>,
): Promise<void> {
  const again = (): Promise<void> => withAdapter(graft, adapter, then);
  const loadAnyway = (): Promise<unknown> => attach(graft, adapter, true).then(then);
  try {
    const loaded = await loadAdapter(graft, adapter);
    if (loaded) await then(loaded);
  } catch (thrown) {
    forgetWrongBase(graft, adapter, thrown);
    void presentError(graft, thrown, { adapter, again, loadAnyway });
  }
}

/** A base that the user named for an adapter, and that it does not fit, is asked for again. */
function forgetWrongBase({ session }: Graft, { path }: AdapterSummary, thrown: unknown): void {
  const { adapters, base } = session.state;
  const named = adapters.find((each) => each.path === path)?.basePath;
  if (failureOf(thrown).code === "misfit" && base && named === base.path) {
    session.rememberBaseOf(path, null);
  }
}

/** Loads adapters, one after the other, and goes on with all of them, in their order. */
export async function withAdapters(
  graft: Graft,
  [path, ...rest]: readonly string[],
  then: (loaded: AdapterInfo[]) => Promise<unknown>,
): Promise<void> {
  if (path === undefined) return void (await then([]));
  const { state } = graft.session;
  const goOn = (first: AdapterInfo): Promise<void> =>
    withAdapters(graft, rest, (others) => then([first, ...others]));
  const loaded = state.loaded.find((each) => each.path === path);
  if (loaded) return goOn(loaded);
  const adapter = state.adapters.find((each) => each.path === path);
  if (adapter) await withAdapter(graft, adapter, goOn);
}

export function exists(file: vscode.Uri): Promise<boolean> {
  return Promise.resolve(vscode.workspace.fs.stat(file)).then(
    () => true,
    () => false,
  );
}

/** Says what was written, with what the user may do next and a way to see the folder. */
export function offerReveal(
  graft: Graft,
  { text, folder }: { text: string; folder: vscode.Uri },
  ...actions: { title: string; run(): unknown }[]
): void {
  const inWorkspace = vscode.workspace.getWorkspaceFolder(folder) !== undefined;
  const isLocal =
    vscode.env.uiKind === vscode.UIKind.Desktop && vscode.env.remoteName === undefined;
  // The explorer shows the workspace alone, and the system's own file manager needs this machine.
  const id = inWorkspace ? "revealInExplorer" : isLocal ? "revealFileInOS" : undefined;
  if (id !== undefined) {
    const title = vscode.l10n.t("Reveal");
    actions.push({ title, run: () => vscode.commands.executeCommand(id, folder) });
  }
  // Not awaited: the work is done, whether or not the message is read.
  void Promise.resolve(vscode.window.showInformationMessage(text, ...actions))
    .then((chosen) => chosen?.run())
    .catch((thrown: unknown) => presentError(graft, thrown));
}
