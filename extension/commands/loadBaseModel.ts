import type { Command, Graft } from "../context.ts";
import type { AdapterSummary, BaseModelInfo } from "../protocol/engineContract.ts";
import { chooseBase } from "./pickers.ts";
import { activateFirst, loadBase, loadBaseOf, requireTrust, withAdapter } from "./steps.ts";

/** Loads a base; of an adapter's folder its base and then the adapter. */
export const loadBaseModel: Command = {
  id: "graft.loadBaseModel",
  async run(graft, argument) {
    if (!requireTrust()) return;
    const chosen = await chooseBase(graft, argument);
    if (!chosen) return;
    const adapter = adapterAt(graft, chosen.path);
    if (adapter) return attachToItsBase(graft, adapter);
    const base = await loadBase(graft, chosen.path);
    // A folder that nobody has looked into may turn out to be an adapter's.
    if (base?.adapter !== undefined) await attach(graft, bareAdapter(base, base.adapter));
  },
};

async function attachToItsBase(graft: Graft, adapter: AdapterSummary): Promise<void> {
  if (await loadBaseOf(graft, adapter)) await attach(graft, adapter);
}

function attach(graft: Graft, adapter: AdapterSummary): Promise<void> {
  return withAdapter(graft, adapter, ({ name }) => activateFirst(graft, name));
}

/** The adapter in a folder that holds no base. */
function adapterAt({ session }: Graft, path: string): AdapterSummary | undefined {
  const { bases, adapters } = session.state;
  return bases.some((base) => base.path === path)
    ? undefined
    : adapters.find((a) => a.path === path);
}

function bareAdapter(
  { path: basePath, name: baseName }: BaseModelInfo,
  path: string,
): AdapterSummary {
  const name = path.split(/[/\\]/).at(-1) ?? path;
  const unknown = { peftType: "", method: "", rank: null, parameters: 0, bytes: 0, modified: 0 };
  return { path, name, baseName, basePath, source: "folder", ...unknown };
}
