import * as path from "node:path";
import { t } from "@vscode/l10n";
import type { BaseModelSummary } from "../protocol/engineContract.ts";
import type { KnownBase } from "./adapterConfig/completions.ts";

/** Bases that are here, as a config beside `file` can name them: ids from the cache first. */
export function knownBases(bases: readonly BaseModelSummary[], file: string): KnownBase[] {
  return bases
    .filter(({ unsupported }) => unsupported === undefined)
    .map((base) => ({
      value: baseValue(base.path, file),
      name: base.name,
      detail: t("{0} · {1}", base.modelType, base.dtype),
    }));
}

/** What to write for a base's folder: its id where it is in the Hub's cache, a short relative path, else the whole one. */
export function baseValue(folder: string, file: string): string {
  const id = /[/\\]models--([^/\\]+)[/\\]snapshots[/\\]/.exec(folder)?.[1]?.split("--").join("/");
  if (id !== undefined) return id;
  const relative = path.relative(path.dirname(file), folder).split(path.sep).join("/");
  const up = relative.split("/").filter((part) => part === "..").length;
  return path.isAbsolute(relative) || up > 2
    ? folder
    : relative.startsWith(".")
      ? relative
      : `./${relative}`;
}
