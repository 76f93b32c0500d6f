import type { EngineProcess } from "../engineProcess.ts";
import type { RunConfig } from "../protocol/trainingContract.ts";
import type { RunContract, RunEvent, RunProcess, RunSummary } from "../protocol/runsContract.ts";
import { attach, type RunLink } from "./attach.ts";

/** What became of a run since it was last told: its summary, and what it has reported. */
export interface RunNews {
  summary: RunSummary;
  events: RunEvent[];
}

export interface RunsOptions {
  engine: Pick<EngineProcess, "request">;
  /** Folders that hold runs; new ones go into the first. */
  parents(): string[];
  launch(folder: string): Promise<RunProcess>;
  warn(text: string): void;
}

type Verb = "pause" | "resume" | "stop" | "saveCheckpoint";

/**
 * The runs that this window knows. Those that train are followed over their sockets; the window may
 * close and come back, the runs go on.
 */
export class Runs {
  private known: RunSummary[] = [];
  private readonly links = new Map<string, RunLink>();
  private readonly listeners = new Set<(news: RunNews | null) => void>();
  private reading: Promise<void> | undefined;
  private readonly interrupting = new Set<(run: RunSummary) => void>();
  /** Whether the folders were looked at since the window opened. */
  isRead = false;

  constructor(private readonly options: RunsOptions) {}

  /** Newest first; as the last look at the folders found them. */
  get all(): readonly RunSummary[] {
    return this.known;
  }

  get live(): RunSummary[] {
    return this.known.filter(({ process }) => process !== null);
  }

  /** @param listener null: the list is another */
  onDidChange(listener: (news: RunNews | null) => void): { dispose(): void } {
    this.listeners.add(listener);
    return { dispose: () => void this.listeners.delete(listener) };
  }

  /** @param listener told of a run whose process is gone without a word, while this window followed it */
  onInterrupted(listener: (run: RunSummary) => void): { dispose(): void } {
    this.interrupting.add(listener);
    return { dispose: () => void this.interrupting.delete(listener) };
  }

  /** Looks at the folders anew, and follows what trains. */
  refresh(): Promise<void> {
    return (this.reading ??= this.read().finally(() => (this.reading = undefined)));
  }

  find(folder: string): RunSummary | undefined {
    return this.known.find((run) => run.folder === folder);
  }

  /** Makes a folder for a run and starts its process. */
  async start(config: RunConfig): Promise<string> {
    const [parent = ""] = this.options.parents();
    const { folder } = await this.options.engine.request("createRun", { parent, config });
    await this.goOn(folder);
    return folder;
  }

  /** Starts the process of a run that has none: from its last good checkpoint, or its beginning. */
  async goOn(folder: string): Promise<void> {
    try {
      await this.options.launch(folder);
    } catch (thrown) {
      // Another window may have been faster: then the run goes on as it was asked to.
      await this.refresh();
      if (this.find(folder)?.process) return;
      throw thrown;
    }
    await this.refresh();
  }

  async control<V extends Verb>(
    folder: string,
    verb: V,
    params: RunContract[V]["params"],
  ): Promise<void> {
    const link = this.links.get(folder) ?? (await this.follow(folder));
    await link?.connection.request(verb, params);
  }

  dispose(): void {
    for (const link of this.links.values()) link.close();
    this.links.clear();
    this.listeners.clear();
    this.interrupting.clear();
  }

  private async read(): Promise<void> {
    const parents = this.options.parents();
    this.known = await this.options.engine.request("listRuns", { parents });
    this.isRead = true;
    this.tell(null);
    const live = this.live.filter(({ folder }) => !this.links.has(folder));
    await Promise.all(live.map(({ folder }) => this.follow(folder)));
  }

  private async follow(folder: string): Promise<RunLink | undefined> {
    const process = this.find(folder)?.process;
    if (!process) return undefined;
    let link: RunLink;
    try {
      link = await attach(process);
    } catch {
      // It ended in this moment: its folder says how.
      return undefined;
    }
    this.links.set(folder, link);
    const onEvent = (event: RunEvent): void => this.heard(folder, event);
    void link.connection
      .request("watch", null, { onEvent })
      .catch(() => undefined)
      .finally(() => {
        link.close();
        if (this.links.get(folder) !== link) return;
        this.links.delete(folder);
        void this.ended(folder).catch((thrown) => this.options.warn(String(thrown)));
      });
    return link;
  }

  /** A process is gone: its folder tells whether it had said so. */
  private async ended(folder: string): Promise<void> {
    await this.refresh();
    const run = this.find(folder);
    if (run?.state !== "interrupted") return;
    for (const listener of [...this.interrupting]) listener(run);
  }

  private heard(folder: string, event: RunEvent): void {
    const summary = this.find(folder);
    if (!summary) return;
    const next = afterEvent(summary, event);
    this.known = this.known.map((run) => (run.folder === folder ? next : run));
    this.tell({ summary: next, events: [event] });
  }

  private tell(news: RunNews | null): void {
    for (const listener of [...this.listeners]) listener(news);
  }
}

/** A run's summary, one event later. */
function afterEvent(summary: RunSummary, event: RunEvent): RunSummary {
  switch (event.kind) {
    case "state": {
      const { message: _before, ...rest } = summary;
      const { state, message, from: step } = event;
      return {
        ...{ ...rest, state },
        ...(message !== undefined && { message }),
        ...(step !== undefined && { step }),
      };
    }
    case "step": {
      const { step, totalSteps, loss } = event;
      return { ...summary, step, totalSteps, loss };
    }
    case "evaluation":
      return { ...summary, evaluationLoss: event.loss };
    case "checkpoint":
      return { ...summary, adapter: event.path };
    default:
      return summary;
  }
}
