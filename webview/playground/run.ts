import { pageFailure } from "../../extension/protocol/pageFailure.ts";
import type { ColumnAdapter } from "../../extension/protocol/playgroundContract.ts";
import { columnName, labelOf } from "./columnHead.ts";
import { type Change, changed, type Labels, messagesOf } from "./conversation.ts";
import type { Page } from "./page.ts";
import { newId } from "./restore.ts";
import { text } from "./strings.ts";

/** Asks the columns and follows their answers; one run at a time. */
export class Runner {
  private running: { id: string; exchange: string; abort: AbortController } | null = null;
  /** Weights that wait for the engine to have taken the ones before, by column. */
  private readonly weights = new Map<string, ColumnAdapter[]>();
  private isWeighing = false;

  constructor(
    private readonly page: Page,
    private readonly onBusy: () => void,
  ) {}

  get isBusy(): boolean {
    return this.running !== null;
  }

  stop(): void {
    this.running?.abort.abort();
  }

  ask(prompt: string): Promise<void> {
    return this.run({ kind: "ask", exchange: newId(), prompt, labels: this.labels() });
  }

  rerun(exchange: string, prompt: string): Promise<void> {
    return this.run({ kind: "rerun", exchange, prompt, labels: this.labels() });
  }

  again(exchange: string, column: string): Promise<void> {
    return this.run({ kind: "again", exchange, labels: this.labels([column]) }, [column]);
  }

  /** Weights of a column that changed; a run under way takes them from its next token on. */
  weigh(column: string, adapters: ColumnAdapter[]): void {
    if (!this.running) return;
    this.weights.set(column, adapters);
    void this.sendWeights();
  }

  /** Who answers in each column, as it will stand over the answer. */
  private labels(columns?: readonly string[]): Labels {
    const { conversation, state } = this.page;
    const base = state.host.base?.name ?? "";
    return Object.fromEntries(
      conversation.columns
        .filter(({ id }) => columns?.includes(id) ?? true)
        .map(({ id, adapters }) => [id, labelOf(base, adapters)]),
    );
  }

  private async run(
    change: Extract<Change, { kind: "ask" | "rerun" | "again" }>,
    only?: readonly string[],
  ): Promise<void> {
    const { page } = this;
    const { exchange } = change;
    const running = { id: newId(), exchange, abort: new AbortController() };
    this.running = running;
    const conversation = changed(page.conversation, change);
    const columns = conversation.columns
      .filter(({ id }) => only?.includes(id) ?? true)
      .map(({ id, adapters }) => ({
        id,
        adapters,
        messages: messagesOf(conversation, id, exchange),
      }));
    const params = { run: running.id, columns, settings: conversation.settings };
    // Asked before the page is drawn: the engine reads the prompt meanwhile.
    const answered = page.host.request("generate", params, {
      onEvent: (event) => {
        page.change({ kind: "stream", exchange, columns: event.columns });
        if (event.oneByOne !== "") page.notice(text.oneByOne(event.oneByOne));
      },
      signal: running.abort.signal,
    });
    page.change(change);
    this.onBusy();
    try {
      const result = await answered;
      page.change({ kind: "finish", exchange, columns: result.columns });
      page.announce(this.spoken(exchange));
    } catch (thrown) {
      const { code, message } = pageFailure(thrown);
      if (code === "cancelled") page.change({ kind: "cancel", exchange });
      else page.change({ kind: "fail", exchange, problem: message });
    } finally {
      this.running = null;
      this.weights.clear();
      this.onBusy();
    }
  }

  /** The answers in words: with one column the answer alone. */
  private spoken(exchange: string): string {
    const { exchanges, columns } = this.page.conversation;
    const answers = exchanges.find(({ id }) => id === exchange)?.answers ?? {};
    const said = columns.map(({ id, adapters }) =>
      text.answered(columnName(adapters), answers[id]?.text ?? ""),
    );
    return columns.length === 1 ? (Object.values(answers)[0]?.text ?? "") : said.join(". ");
  }

  private async sendWeights(): Promise<void> {
    if (this.isWeighing) return;
    this.isWeighing = true;
    try {
      for (let next = this.nextWeights(); next; next = this.nextWeights()) {
        await this.page.host.request("setWeights", next).catch(() => undefined);
      }
    } finally {
      this.isWeighing = false;
    }
  }

  private nextWeights(): { run: string; column: string; adapters: ColumnAdapter[] } | null {
    const [first] = this.weights;
    if (!this.running || !first) return null;
    this.weights.delete(first[0]);
    return { run: this.running.id, column: first[0], adapters: first[1] };
  }
}
