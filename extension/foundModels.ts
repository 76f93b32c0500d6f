import { t } from "@vscode/l10n";
import type { AdapterNotes } from "./adapterNotes.ts";
import type { Requester } from "./engineProcess.ts";
import { failureOf } from "./failure.ts";
import type { AdapterSummary, DiscoverParams } from "./protocol/engineContract.ts";
import { mergeRescan, withFits, withRead } from "./rescan.ts";
import type { StateStore } from "./stateStore.ts";

export interface FoundModelsOptions {
  engine: Requester;
  roots(): Promise<DiscoverParams>;
  warn(text: string): void;
}

/** How many adapters' fits are waited for, and how many are asked about at once behind that. */
const [fitsAtOnce, readAtOnce] = [200, 1000];

/** Which bases and adapters are on this machine, and which of the adapters fit the loaded base. */
export class FoundModels {
  private looking: Promise<void> | undefined;

  constructor(
    private readonly store: StateStore,
    private readonly notes: AdapterNotes,
    private readonly options: FoundModelsOptions,
  ) {}

  /** Looks once; later calls answer from what is known. */
  discovered(): Promise<void> {
    return (this.looking ??= this.look());
  }

  async refresh(): Promise<void> {
    await this.looking?.catch(() => undefined);
    await (this.looking = this.look());
  }

  /**
   * Looks at a few folders anew: what came, changed or went in them is then right.
   * @param roots real paths, as adapters and bases are known by
   */
  async rescan(roots: DiscoverParams["roots"]): Promise<void> {
    await this.discovered().catch(() => undefined);
    const params = { roots, huggingFaceCache: false };
    const found = await this.options.engine.request("discover", params);
    const folders = roots.map(({ path }) => path);
    const { bases, adapters } = mergeRescan(this.store.state, folders, found);
    this.store.set({ bases, ...this.notes.on(adapters) });
    await this.measureFits(this.options.engine, found.adapters);
  }

  /**
   * Whether adapters fit the loaded base. The first ones, its own before others, are waited for; of very
   * many the rest comes in later.
   */
  async measureFits(
    engine: Requester = this.options.engine,
    adapters: readonly AdapterSummary[] = this.store.state.adapters,
  ): Promise<void> {
    const { base } = this.store.state;
    const readable = adapters.filter(({ problem }) => problem === undefined);
    if (!base || readable.length === 0) return;
    const own = readable.filter(({ basePath }) => basePath === base.path);
    const others = readable.filter(({ basePath }) => basePath !== base.path);
    const paths = [...own, ...others].map(({ path }) => path);
    const measure = async (from: number, count: number): Promise<boolean> => {
      const part = paths.slice(from, from + count);
      const reports = await engine.request("checkFit", { base: base.path, paths: part });
      if (this.store.state.base?.path !== base.path) return false;
      this.store.set({ fits: withFits(this.store.state.fits, reports) });
      return from + count < paths.length;
    };
    const rest = async (): Promise<void> => {
      let from = fitsAtOnce;
      while (await measure(from, readAtOnce)) from += readAtOnce;
    };
    const warn = (thrown: unknown): void =>
      this.options.warn(t("Fit not known: {0}", failureOf(thrown).message));
    try {
      if (await measure(0, fitsAtOnce)) void rest().catch(warn);
    } catch (thrown) {
      warn(thrown);
    }
  }

  private async look(): Promise<void> {
    this.store.set({ discovery: "running" });
    try {
      const roots = await this.options.roots();
      const found = await this.options.engine.request("discover", roots);
      for (const { path, message } of found.problems) this.options.warn(`${path}: ${message}`);
      const { cache = null, bases, problems } = found;
      const adapters = this.notes.on(found.adapters);
      this.store.set({ discovery: "done", bases, problems, cache, ...adapters });
      await this.measureFits();
      this.readUnread();
    } catch (thrown) {
      this.looking = undefined;
      this.store.set({ discovery: { failed: failureOf(thrown).message } });
      throw thrown;
    }
  }

  /** Of very many adapters the list came first: looks into their weights now, while nobody waits. */
  private readUnread(): void {
    const work = async (): Promise<void> => {
      const { looking } = this;
      for (;;) {
        const unread = this.store.state.adapters
          .filter(({ isUnread }) => isUnread)
          .slice(0, readAtOnce);
        if (unread.length === 0 || this.looking !== looking) return;
        const adapters = unread.map(({ path, source }) => ({ path, source }));
        const read = await this.options.engine.request("readAdapters", { adapters });
        // One that could not be read now is not asked for again.
        const asked = unread.map((each) => ({ ...each, isUnread: false }));
        this.store.set({ adapters: withRead(withRead(this.store.state.adapters, asked), read) });
      }
    };
    void work().catch((thrown) =>
      this.options.warn(t("Not looked into all adapters: {0}", failureOf(thrown).message)),
    );
  }
}
