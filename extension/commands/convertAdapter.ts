import * as path from "node:path";
import * as vscode from "vscode";
import type { Command, Graft } from "../context.ts";
import { HostError } from "../failure.ts";
import type { AdapterSummary } from "../protocol/engineContract.ts";
import type { Conversion } from "../protocol/writeContract.ts";
import { adapterStatus } from "../state.ts";
import { freeName } from "../views/combination.ts";
import { type ConversionChoice, conversionsOf } from "../views/conversion.ts";
import { formatMethod } from "../views/format.ts";
import { askConversion } from "./convertQuestions.ts";
import { type Converting, writeConverted } from "./convertSteps.ts";
import { chooseAdapter, chooseBase } from "./pickers.ts";
import { chooseTarget, usualParent } from "./targets.ts";

/** Turns an adapter into another form, or one of another size; what is there stays as it is. */
export const convertAdapter: Command = {
  id: "graft.convertAdapter",
  async run(graft, argument) {
    const adapter = await chooseAdapter(graft, argument, {
      placeHolder: vscode.l10n.t("Adapter to convert"),
      accept: ({ kind }) => kind !== "unreadable",
    });
    if (!adapter) return;
    const title = vscode.l10n.t("Convert {0}", adapter.name);
    const wish = (argument as { to?: Conversion } | undefined)?.to;
    const choice = await chooseConversion(adapter, { title, wish: wish?.kind });
    const to =
      choice && (wish ?? (await askConversion(choice.kind, { title, rank: adapter.rank })));
    if (!choice || !to) return;
    const base = await baseFor(graft, adapter, choice);
    if (base === null) return;
    const target = await targetFor(graft, adapter, { choice, title });
    if (target)
      await writeConverted(graft, { name: adapter.name, path: adapter.path, base, to, ...target });
  },
};

async function chooseConversion(
  { name, path: folder, method, peftType, rank }: AdapterSummary,
  { title, wish }: { title: string; wish: Conversion["kind"] | undefined },
): Promise<ConversionChoice | undefined> {
  const choices = conversionsOf(peftType, await configOf(folder));
  if (choices.length === 0) {
    const text = vscode.l10n.t(
      "{0} has no other form: {1} is not a change of weights.",
      name,
      method,
    );
    throw new HostError("unsupported", text);
  }
  const wished = choices.find(({ kind }) => kind === wish);
  if (wished) return wished;
  const items = choices.map((choice) => ({
    label: choice.label,
    detail: choice.meaning,
    choice,
  }));
  const placeHolder = vscode.l10n.t("{0} becomes", formatMethod({ method, rank }));
  const options = { title, placeHolder, matchOnDetail: true, ignoreFocusOut: true };
  return (await vscode.window.showQuickPick(items, options))?.choice;
}

/** What the config says; nothing where it cannot be read, which the conversion itself will say. */
async function configOf(folder: string): Promise<Record<string, unknown>> {
  const file = vscode.Uri.file(path.join(folder, "adapter_config.json"));
  try {
    const text = new TextDecoder().decode(await vscode.workspace.fs.readFile(file));
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}

/** The base that the conversion reads; undefined where it needs none, null when the user leaves. */
async function baseFor(
  graft: Graft,
  adapter: AdapterSummary,
  { needsBase }: ConversionChoice,
): Promise<string | null | undefined> {
  const { state } = graft.session;
  const { kind } = adapterStatus(state, adapter);
  if (state.base && (kind === "active" || kind === "loaded" || kind === "fits")) {
    return state.base.path;
  }
  if (adapter.basePath !== null || !needsBase) return adapter.basePath ?? undefined;
  return (await chooseBase(graft, undefined))?.path ?? null;
}

async function targetFor(
  graft: Graft,
  { name, path: own, source }: AdapterSummary,
  { choice, title }: { choice: ConversionChoice; title: string },
): Promise<Pick<Converting, "target" | "overwrite"> | undefined> {
  const { extension, suffix } = choice;
  if (extension === undefined) {
    const taken = graft.session.state.adapters.map((each) => path.basename(each.path));
    const made = await chooseTarget(graft, { name: freeName(`${name}-${suffix}`, taken), title });
    return made && { target: made.folder, overwrite: made.overwrite };
  }
  // The sample and the Hub's cache are no place for the user's files.
  const isOwn = source === "workspace" || source === "folder";
  const parent = isOwn ? path.dirname(own) : path.dirname(usualParent());
  const file = await vscode.window.showSaveDialog({
    title,
    saveLabel: vscode.l10n.t("Convert"),
    defaultUri: vscode.Uri.file(path.join(parent, `${name}.${extension}`)),
    filters: { [choice.label]: [extension] },
  });
  // The dialog itself asks before it names a file that is there.
  return file && { target: file, overwrite: true };
}
