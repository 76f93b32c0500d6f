import * as path from "node:path";
import { isFolder } from "../core/base/files.ts";
import { badRequest } from "../core/base/errors.ts";
import type { PeftModel } from "../core/peftModel.ts";
import { Library } from "../engine/library.ts";
import { promptsHandlers } from "../engine/prompts.ts";
import type { BulkColumn } from "../prompts/bulk.ts";
import { adapterName, baseColumn, type ColumnRef, columnLabel } from "../prompts/promptFile.ts";
import type { PromptEngine } from "../prompts/run.ts";
import { sayWarnings } from "./adapters.ts";
import { readWeighted } from "./arguments.ts";
import { showTransfers } from "./progress.ts";

/** A base that is open, and how prompts ask it and its adapters. */
export interface PromptModels {
  readonly engine: PromptEngine;
  readonly base: {
    readonly path: string;
    readonly name: string;
    readonly hasChatTemplate: boolean;
  };
  readonly columns: BulkColumn[];
}

/**
 * Opens a base and the adapters of columns.
 * @param options `given`: adapters of the command line, DIR[:WEIGHT]; `refs`: the columns that a file
 *   names, by the name of a given one or a path from the file's folder
 */
export async function openModels(
  base: string,
  {
    given,
    refs,
    folder,
    withBase,
    signal,
  }: {
    given: readonly string[];
    refs: readonly ColumnRef[];
    folder: string;
    withBase: boolean;
    signal: AbortSignal;
  },
): Promise<PromptModels> {
  const library = new Library();
  const model = await library.open(base, { onProgress: showTransfers(), signal });
  sayWarnings(base, model.base.warnings);
  const named = given.map(readWeighted).map((each) => ({ ...each, adapter: each.folder }));
  const wanted = refs.length > 0 ? refs.map(({ parts }) => parts) : named.map((each) => [each]);
  const columns: BulkColumn[] = [];
  if (withBase || wanted.length === 0) {
    columns.push({ label: baseColumn, names: [baseColumn], adapters: [], identity: [] });
  }
  for (const parts of wanted) {
    const places = await Promise.all(
      parts.map((part) => placeOf(part.adapter, { given: named, folder })),
    );
    columns.push(await loadColumn(model, parts, { places, signal }));
  }
  const handlers = promptsHandlers(library);
  const { dir } = model.base.checkpoint;
  const hasChatTemplate = (model.tokenizerFor([])?.chatTemplate ?? null) !== null;
  const engine: PromptEngine = {
    answerRows: async (params, { signal: stop, onTokens }) =>
      handlers.answerRows(params, { emit: ({ tokens }) => onTokens?.(tokens), signal: stop }),
    scoreRows: async (params, { signal: stop }) =>
      handlers.scoreRows(params, { emit: () => undefined as never, signal: stop }),
  };
  return { engine, base: { path: dir, name: path.basename(dir), hasChatTemplate }, columns };
}

async function placeOf(
  reference: string,
  { given, folder }: { given: readonly { folder: string }[]; folder: string },
): Promise<string> {
  const own = given.find(
    (each) => adapterName(each.folder) === reference || each.folder === reference,
  );
  if (own) return own.folder;
  const place = path.resolve(folder, reference);
  if (await isFolder(place)) return place;
  throw badRequest(
    `There is no adapter "${reference}" beside the file. Give its folder: --adapter DIR.`,
  );
}

async function loadColumn(
  model: PeftModel,
  parts: readonly { adapter: string; weight: number }[],
  { places, signal }: { places: readonly string[]; signal: AbortSignal },
): Promise<BulkColumn> {
  const label = columnLabel(parts);
  const adapters: { name: string; weight: number }[] = [];
  const identity: { path: string; weight: number }[] = [];
  for (const [i, { weight }] of parts.entries()) {
    const place = places[i] as string;
    const adapterName = path.resolve(place);
    if (!model.adapters.some(({ name }) => name === adapterName)) {
      const { warnings } = await model.loadAdapter(place, { adapterName, signal });
      sayWarnings(place, warnings);
    }
    adapters.push({ name: adapterName, weight });
    identity.push({ path: adapterName, weight });
  }
  const names = [label, ...parts.flatMap(({ adapter: a }) => [a, adapterName(a)])];
  return { label, names, adapters, identity };
}
