import { throwIfAborted } from "../core/base/errors.ts";
import { DescribedBases } from "../core/configBase.ts";
import { configFacts, fitOfConfig } from "../core/configFacts.ts";
import { repoIdOf } from "../core/hub/cache.ts";
import { trainableMethods } from "../core/peft/trainable/index.ts";
import type { BaseCandidate, ConfigContract } from "../protocol/configContract.ts";
import type { Handlers } from "../protocol/connection.ts";
import type { Library } from "./library.ts";

/** What the engine says of an adapter_config.json that is open in an editor. */
export function configHandlers(library: Library): Handlers<ConfigContract> {
  const bases = new DescribedBases();
  return {
    trainableMethods: () =>
      trainableMethods.filter(({ whyNotNew }) => !whyNotNew).map(({ peftType }) => peftType),
    describeConfig: (params, { signal }) => {
      const loaded = (folder: string) => {
        const base = library.find(folder)?.base;
        return base && { checkpoint: base.checkpoint, base: base.adaptable, isGuess: false };
      };
      return configFacts({ ...params, loaded, signal }, bases);
    },
    rankBases: async ({ bases: folders, ...params }, { signal }) => {
      const candidates: BaseCandidate[] = [];
      for (const folder of folders) {
        try {
          const { described, ...fit } = await fitOfConfig({ ...params, signal }, folder, bases);
          const { name, config } = described.checkpoint;
          const value = repoIdOf(folder) ?? folder;
          candidates.push({ path: folder, value, name, modelType: config.modelType, ...fit });
        } catch {
          // One that cannot be read is no candidate; that it is stopped is for the caller.
          throwIfAborted(signal);
        }
      }
      const share = ({ bound, total }: BaseCandidate): number => (total === 0 ? 0 : bound / total);
      return candidates.sort((a, b) => Number(b.fits) - Number(a.fits) || share(b) - share(a));
    },
  };
}
