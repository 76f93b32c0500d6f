import type {
  AdapterAnalysis,
  IntruderAnalysis,
  ModuleAnalysis,
} from "../../extension/protocol/analysisContract.ts";

import type { ProgressEvent } from "../../extension/protocol/engineContract.ts";
import { failureOf } from "../shared/failure.ts";

/** What is under way: none of it keeps the rest of the page from being read. */
export type Computing =
  | { kind: "none" }
  | { kind: "running"; what: What; progress: ProgressEvent | null }
  | { kind: "cancelled" }
  | { kind: "failed"; message: string; again(): void };

type What = "analysis" | "module" | "intruders";

interface Work {
  signal: AbortSignal;
  onEvent(progress: ProgressEvent): void;
}

interface Asking {
  analyze(work: Work): Promise<AdapterAnalysis>;
  measureModule(module: string, work: Work): Promise<ModuleAnalysis | null>;
  findIntruders(work: Work): Promise<IntruderAnalysis>;
}

/** The numbers of one adapter: asked for once, again when what they are measured by has changed. */
export class AdapterNumbers {
  analysis: AdapterAnalysis | null = null;
  intruders: IntruderAnalysis | null = null;
  computing: Computing = { kind: "none" };
  private controller: AbortController | null = null;

  constructor(
    private readonly ask: Asking,
    private readonly onChange: (what: "numbers" | "progress") => void,
  ) {}

  /** Asks for all that is cheap enough not to be asked for. */
  async refresh(): Promise<void> {
    await this.run("analysis", async (work) => {
      this.analysis = await this.ask.analyze(work);
      // They were found for another base, perhaps.
      this.intruders = null;
    });
  }

  /** What is too costly to be told of all modules, of one. */
  async measureModule(module: string): Promise<void> {
    await this.run("module", async (work) => {
      const measured = await this.ask.measureModule(module, work);
      const { analysis } = this;
      if (!measured || !analysis) return;
      const modules = analysis.modules.map((each) => (each.module === module ? measured : each));
      this.analysis = { ...analysis, modules };
    });
  }

  async findIntruders(): Promise<void> {
    await this.run("intruders", async (work) => {
      this.intruders = await this.ask.findIntruders(work);
    });
  }

  cancel(): void {
    this.controller?.abort();
  }

  private async run(what: What, work: (work: Work) => Promise<void>): Promise<void> {
    this.controller?.abort();
    const controller = new AbortController();
    this.controller = controller;
    const isLatest = (): boolean => this.controller === controller;
    this.set({ kind: "running", what, progress: null });
    try {
      await work({
        signal: controller.signal,
        onEvent: (progress) => {
          if (isLatest()) this.set({ kind: "running", what, progress });
        },
      });
      if (!isLatest()) return;
      this.computing = { kind: "none" };
      this.onChange("numbers");
    } catch (thrown) {
      if (!isLatest()) return;
      const { code, message } = failureOf(thrown);
      const again = (): void => void this.run(what, work);
      if (code !== "cancelled") this.set({ kind: "failed", message, again });
      // What was asked for beside the numbers is offered as before.
      else this.set({ kind: what === "analysis" ? "cancelled" : "none" });
    }
  }

  private set(computing: Computing): void {
    this.computing = computing;
    this.onChange("progress");
  }
}
