import { badRequest } from "../core/base/errors.ts";
import { showBytes } from "../core/base/progress.ts";
import { describeBase } from "../core/baseModel.ts";
import { openModel } from "../core/precision.ts";
import { modelFolder } from "../core/checkpoint/findAdapter.ts";
import { isRepoId, repoIdOf } from "../core/hub/cache.ts";
import { type HubModel, searchAdapters, searchModels } from "../core/hub/search.ts";
import { isFolder } from "../core/base/files.ts";
import { describeRemoteAdapter, fitOfRemoteAdapter } from "../core/remoteFit.ts";
import { readArguments, readNumber } from "./arguments.ts";

const options = {
  base: { type: "string" },
  models: { type: "boolean", default: false },
  fit: { type: "boolean", default: false },
  limit: { type: "string" },
  json: { type: "boolean", default: false },
} as const;

/** Lists adapters of the Hub, or bases; with --fit says which of them fit a base of this machine. */
export async function search(args: string[], signal: AbortSignal): Promise<void> {
  const { values, positionals } = readArguments(args, options);
  const query = positionals.join(" ") || undefined;
  const limit = readNumber(values.limit, "limit", 20);
  if (values.fit && values.base === undefined) throw badRequest("--fit needs --base.");
  if (values.models) {
    const found = await searchModels({ query, limit, signal });
    return print(found, values.json, found.map(lineOf));
  }
  const base = values.base === undefined ? undefined : await idOf(values.base);
  const found = await searchAdapters({ base, query, limit, signal });
  const target = values.fit ? await describe(values.base as string, signal) : undefined;
  const rows: (HubModel & { about?: object })[] = [];
  const lines: string[] = [];
  for (const model of found) {
    const about = await (
      target
        ? fitOfRemoteAdapter(model.id, target, { signal })
        : describeRemoteAdapter(model.id, { signal })
    ).catch((error: Error) => ({ problem: error.message }));
    rows.push({ ...model, about });
    lines.push([lineOf(model), ...aboutLine(about)].join("\n"));
  }
  print(rows, values.json, lines);
}

/** The id under which the Hub knows a base of this machine. */
async function idOf(base: string): Promise<string> {
  const id = (await isFolder(base)) ? repoIdOf(await modelFolder(base)) : base;
  if (id !== null && isRepoId(id)) return id;
  throw badRequest(
    `${base} is no base from the Hub. Give the id that adapters name: --base owner/name.`,
  );
}

async function describe(
  base: string,
  signal: AbortSignal,
): Promise<ReturnType<typeof describeBase>> {
  const place = { localFilesOnly: true, signal };
  const { checkpoint } = await openModel(await modelFolder(base, place, "Base model"), signal);
  return describeBase(checkpoint);
}

function lineOf({ id, downloads, likes, licence, isGated }: HubModel): string {
  const facts = [
    `${downloads.toLocaleString("en")} downloads`,
    `${likes.toLocaleString("en")} likes`,
    licence ?? "no licence named",
    ...(isGated ? ["gated"] : []),
  ];
  return `${id}  ${facts.join(", ")}`;
}

function aboutLine(
  about: Partial<Awaited<ReturnType<typeof fitOfRemoteAdapter>>> & { problem?: string },
): string[] {
  const { method, rank, bytes, fits, bound, total, reason, problem } = about;
  if (problem !== undefined) return [`  ${problem}`];
  const what = `  ${method ?? ""}${rank === null ? "" : ` r ${rank}`}, ${showBytes(bytes ?? 0)}`;
  if (fits === undefined) return [what];
  const word =
    fits === null ? "" : `, ${fits ? "fits" : "does not fit"}: ${bound} of ${total} modules`;
  return [what + word, ...(reason === undefined ? [] : [`  ${reason}`])];
}

function print(rows: readonly object[], isJson: boolean, lines: readonly string[]): void {
  const text = isJson ? JSON.stringify(rows, null, 2) : lines.join("\n") || "Nothing found.";
  process.stdout.write(`${text}\n`);
}
