import { realpathSync, statSync } from "node:fs";
import * as path from "node:path";
import { t } from "@vscode/l10n";
import { HostError } from "./failure.ts";
import type { AdapterSummary } from "./protocol/engineContract.ts";
import type { Session } from "./session.ts";

/**
 * The adapter of a folder that a menu or a link named; one that was not listed yet is looked at now.
 * @throws not-found when the folder holds none
 */
export async function adapterOf(session: Session, folder: string): Promise<AdapterSummary> {
  await session.discovered();
  const real = realOf(folder);
  const find = (): AdapterSummary | undefined =>
    session.state.adapters.find((each) => each.path === folder || each.path === real);
  const known = find();
  if (known) return known;
  const isThere = statSync(path.join(real, "adapter_config.json"), { throwIfNoEntry: false });
  if (isThere) await session.rescan([{ path: real, source: "folder", isOne: true }]);
  const found = find();
  if (found) return found;
  throw new HostError(
    "not-found",
    t("{0} holds no adapter: there is no adapter_config.json that can be read.", folder),
  );
}

/** Where links lead; what is not there stays as it is. */
export function realOf(folder: string): string {
  try {
    return realpathSync(folder);
  } catch {
    return folder;
  }
}
