import * as path from "node:path";
import * as vscode from "vscode";
import type { Graft } from "../context.ts";
import { failureOf, HostError } from "../failure.ts";
import { adapterName, baseColumn, type ColumnRef, columnLabel } from "../prompts/promptFile.ts";
import type { Column } from "../prompts/run.ts";
import type { ActiveAdapter, BaseModelInfo } from "../protocol/engineContract.ts";
import type { State } from "../state.ts";
import { wake } from "../wake.ts";
import { withProgress } from "./progress.ts";

/** What is to answer: the base alone, the adapters that are active, or those that a file names. */
export type ColumnWish = { kind: "base" } | { kind: "active" } | { kind: "named"; ref: ColumnRef };

/** A column with its models loaded, or why they are not. */
export type LoadedColumn = Column | { label: string; problem: string };

export function isLoaded(column: LoadedColumn): column is Column {
  return "adapters" in column;
}

/**
 * Loads the base that a file names and the adapters of its columns. An adapter that cannot be loaded
 * keeps the others from nothing.
 * @param wish `model`: as the file names it; `folder`: what its paths start from
 */
export async function loadColumns(
  graft: Graft,
  wishes: readonly ColumnWish[],
  { model, folder }: { model: string | undefined; folder: string },
): Promise<{ base: BaseModelInfo; columns: LoadedColumn[] }> {
  if (!vscode.workspace.isTrusted) {
    throw new HostError(
      "bad-request",
      vscode.l10n.t(
        "Loading models needs a trusted workspace. Trust it with “Workspaces: Manage Workspace Trust”.",
      ),
    );
  }
  await wake(graft.session);
  const base = await loadBaseFor(graft, wishes, { model, folder });
  if (base.task !== "language-modeling") {
    const text = vscode.l10n.t(
      "{0} does not write text, so it cannot answer prompts. Load another base model.",
      base.name,
    );
    throw new HostError("unsupported", text);
  }
  const columns: LoadedColumn[] = [];
  for (const wish of wishes) columns.push(await loadColumn(graft, wish, folder));
  return { base, columns };
}

async function loadBaseFor(
  graft: Graft,
  wishes: readonly ColumnWish[],
  { model, folder }: { model: string | undefined; folder: string },
): Promise<BaseModelInfo> {
  const { session } = graft;
  const { state } = session;
  const named = model === undefined ? undefined : findBase(state, model, folder);
  const refs = wishes.flatMap((wish) => (wish.kind === "named" ? wish.ref.parts : []));
  const led = refs
    .map(({ adapter }) => findAdapter(state, adapter, folder)?.basePath)
    .find((each) => each !== undefined && each !== null);
  const wanted = named ?? state.base?.path ?? led;
  if (state.base && (wanted === undefined || wanted === state.base.path)) return state.base;
  if (wanted !== undefined) {
    const title = vscode.l10n.t("Loading {0}", path.basename(wanted));
    return withProgress(title, (work) => session.loadBase(wanted, work));
  }
  const text =
    model === undefined
      ? vscode.l10n.t(
          "No base model is loaded. Load one in the Graft view, or name one as “model”.",
        )
      : vscode.l10n.t(
          "No base model is loaded, and “{0}” is not on this machine. Load one in the Graft view.",
          model,
        );
  throw new HostError("bad-request", text);
}

/** A base by its name, its folder, or the last part of an id. */
export function findBase(state: State, model: string, folder: string): string | undefined {
  const place = path.resolve(folder, model);
  const found =
    state.bases.find((base) => base.path === model || base.path === place) ??
    state.bases.find((base) => base.name === model) ??
    state.bases.find((base) => base.name === adapterName(model));
  return found?.path;
}

/** A discovered adapter by its name or its folder. */
export function findAdapter(
  state: State,
  reference: string,
  folder: string,
): State["adapters"][number] | undefined {
  const place = path.resolve(folder, reference);
  const fitting = state.adapters.filter(({ name }) => name === reference);
  return (
    state.adapters.find((each) => each.path === place || each.path === reference) ??
    // Of several with one name, the one for the loaded base.
    fitting.find(({ basePath }) => basePath === state.base?.path) ??
    fitting[0]
  );
}

async function loadColumn(graft: Graft, wish: ColumnWish, folder: string): Promise<LoadedColumn> {
  const { session } = graft;
  if (wish.kind === "base") return { label: baseColumn, names: [baseColumn], adapters: [] };
  if (wish.kind === "active") return activeColumn(session.state);
  const { label, parts } = wish.ref;
  const adapters: ActiveAdapter[] = [];
  for (const { adapter, weight } of parts) {
    try {
      adapters.push({ name: await loadReference(graft, adapter, folder), weight });
    } catch (thrown) {
      return { label, problem: failureOf(thrown).message };
    }
  }
  const names = new Set([label, ...parts.flatMap(({ adapter: a }) => [a, adapterName(a)])]);
  return { label, names: [...names], adapters };
}

async function loadReference(graft: Graft, reference: string, folder: string): Promise<string> {
  const { session } = graft;
  const { state } = session;
  const known = findAdapter(state, reference, folder);
  const place = known?.path ?? path.resolve(folder, reference);
  const loaded =
    state.loaded.find((each) => each.path === place) ??
    state.loaded.find(({ name }) => known === undefined && name === reference);
  if (loaded) return loaded.name;
  if (!known && adapterName(reference) === reference) {
    const text = vscode.l10n.t(
      "There is no adapter “{0}”. Name one of the Adapters view, or its folder from this file.",
      reference,
    );
    throw new HostError("not-found", text);
  }
  const title = vscode.l10n.t("Loading {0}", adapterName(reference));
  return (await withProgress(title, (work) => session.loadAdapter(place, work))).name;
}

/** The active adapters as a column. */
export function activeColumn({ active, loaded }: State): Column {
  const parts = active.map(({ name, weight }) => ({ adapter: name, weight }));
  const names = active.flatMap(({ name }) => {
    const file = loaded.find((each) => each.name === name)?.path;
    return file === undefined ? [name] : [name, path.basename(file)];
  });
  const label = columnLabel(parts);
  return { label, names: [...new Set([label, ...names])], adapters: [...active] };
}
