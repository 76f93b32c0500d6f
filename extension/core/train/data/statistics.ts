/** What the texts of one half of a data set are like. */
export interface DataStatistics {
  /** Texts, and rows that are fed once they are packed or split. */
  readonly examples: number;
  readonly rows: number;
  readonly tokens: number;
  readonly learnedTokens: number;
  /** Texts of which the end was cut, and how many tokens that took. */
  readonly cut: number;
  readonly cutTokens: number;
  /** Left out: nothing of them is learned once they are cut. */
  readonly withoutLearned: number;
  /** In tokens, before cutting. */
  readonly longest: number;
  readonly median: number;
}

/** Counts texts as they come. */
export class Counter {
  examples = 0;
  tokens = 0;
  learnedTokens = 0;
  cut = 0;
  cutTokens = 0;
  withoutLearned = 0;
  private readonly lengths = new Map<number, number>();

  length(tokens: number): void {
    this.lengths.set(tokens, (this.lengths.get(tokens) ?? 0) + 1);
  }

  finish(rows: number): DataStatistics {
    const { examples, tokens, learnedTokens, cut, cutTokens, withoutLearned } = this;
    const sorted = [...this.lengths].sort(([a], [b]) => a - b);
    const half = sorted.reduce((sum, [, count]) => sum + count, 0) / 2;
    let passed = 0;
    const median = sorted.find(([, count]) => (passed += count) >= half)?.[0] ?? 0;
    const longest = sorted.at(-1)?.[0] ?? 0;
    return {
      examples,
      rows,
      tokens,
      learnedTokens,
      cut,
      cutTokens,
      withoutLearned,
      longest,
      median,
    };
  }
}
