import * as vscode from "vscode";
import type { Graft } from "../context.ts";
import { HostError } from "../failure.ts";
import { baseColumn, columnLabel } from "../prompts/promptFile.ts";
import type { BulkColumn } from "../prompts/bulk.ts";
import { adapterStatus } from "../state.ts";
import { activeColumn, type ColumnWish, isLoaded, loadColumns } from "./promptModels.ts";
import { adapterRow } from "./rows.ts";

type Choice = vscode.QuickPickItem & { wish: ColumnWish };

/** Asks which models answer: base, the active mix, and any adapters that fit. */
export async function chooseColumns(
  graft: Graft,
  placeHolder: string,
): Promise<ColumnWish[] | undefined> {
  await graft.session.discovered();
  const { state } = graft.session;
  const fitting = state.adapters.filter((adapter) =>
    ["active", "loaded", "fits"].includes(adapterStatus(state, adapter).kind),
  );
  const span = { start: 0, end: 0 };
  const choices: Choice[] = [
    {
      label: baseColumn,
      description: state.base?.name ?? "",
      wish: { kind: "base" },
      picked: true,
    },
    ...fitting.map((adapter): Choice => ({
      label: adapter.name,
      description: adapterRow(state, adapter).description,
      picked: state.active.some(
        ({ name }) => state.loaded.find((each) => each.name === name)?.path === adapter.path,
      ),
      wish: {
        kind: "named",
        ref: {
          label: adapter.name,
          parts: [{ adapter: adapter.path, weight: 1, span }],
          span,
        },
      },
    })),
  ];
  // A single adapter as trained is in the list already.
  if (state.active.length > 1 || state.active.some(({ weight }) => weight !== 1)) {
    const label = activeColumn(state).label;
    const description = vscode.l10n.t("active now");
    choices.splice(1, 0, { label, description, picked: true, wish: { kind: "active" } });
  }
  const options = { placeHolder, canPickMany: true, ignoreFocusOut: true } as const;
  const chosen = await vscode.window.showQuickPick(choices, options);
  return chosen && chosen.length > 0 ? chosen.map(({ wish }) => wish) : undefined;
}

/** Loads the columns; one that cannot be loaded is an error, and nothing is begun. */
export async function loadChosen(
  graft: Graft,
  wishes: readonly ColumnWish[],
): Promise<BulkColumn[]> {
  const { base, columns } = await loadColumns(graft, wishes, { model: undefined, folder: "" });
  const { loaded } = graft.session.state;
  return columns.map((column) => {
    if (!isLoaded(column)) {
      throw new HostError("bad-request", `${column.label}: ${column.problem}`);
    }
    const identity = column.adapters.map(({ name, weight }) => ({
      path: loaded.find((each) => each.name === name)?.path ?? `${base.path}:${name}`,
      weight,
    }));
    const parts = column.adapters.map(({ name, weight }) => ({ adapter: name, weight }));
    return { ...column, label: columnLabel(parts), identity };
  });
}
