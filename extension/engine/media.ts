import { existsSync } from "node:fs";
import * as path from "node:path";
import { t } from "@vscode/l10n";
import { notFound } from "../core/base/errors.ts";

/** A folder of media/, found above the bundle that runs; unbundled, above the source or where it was started. */
export function mediaFolder(name: string): string {
  const bundle = path.dirname(path.resolve(process.argv[1] ?? "."));
  for (const start of [bundle, process.cwd()]) {
    for (let at = start; at !== path.dirname(at); at = path.dirname(at)) {
      const folder = path.join(at, "media", name);
      if (existsSync(folder)) return folder;
    }
  }
  throw notFound(t("Folder"), path.join(bundle, "../media", name), t("Install Graft anew."));
}
