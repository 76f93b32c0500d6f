/** What training begins with: a new adapter by its config, or one that was saved. */
import { type AdapterCheckpoint, openAdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import type { AdapterConfig } from "./checkpoint/adapterConfig.ts";

export type AdapterStart =
  | { readonly kind: "new"; readonly config: AdapterConfig }
  | { readonly kind: "continue"; readonly checkpoint: AdapterCheckpoint };

export function configOf(start: AdapterStart): AdapterConfig {
  return start.kind === "new" ? start.config : start.checkpoint.config;
}

/** An adapter of a folder, to be trained on. */
export async function continued(folder: string, signal?: AbortSignal): Promise<AdapterStart> {
  return { kind: "continue", checkpoint: await openAdapterCheckpoint(folder, signal) };
}
