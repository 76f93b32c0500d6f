import type { DraftSource, Offer } from "./source.ts";
import type { StepCosts } from "./stepCosts.ts";

/** Drafted tokens of a pass: few sizes, as each is a shape that the runtime plans for. */
const sizes = [1, 2, 3, 5, 7, 11, 15] as const;
/** A draft must be expected to save so much: estimates are not that exact. */
const leastGain = 1.05;
/** One in so many drafts that are not worth it is made all the same, to see whether that has changed. */
const probeEvery = 32;

export interface DraftCounts {
  /** Tokens that were proposed, and those of them that the model chose as well. */
  readonly drafted: number;
  readonly accepted: number;
}

/**
 * Proposes tokens that an answer may go on with, where reading them in one pass is expected to save
 * time: by how often such drafts were right in this answer and what passes cost in this session.
 */
export class Drafter {
  drafted = 0;
  accepted = 0;
  private readonly declined = new Map<DraftSource, number>();
  private taken: Offer | null = null;

  /** @param sources of several whose drafts are as good the first counts */
  constructor(
    private readonly sources: readonly DraftSource[],
    private readonly options: {
      costs: StepCosts;
      /** Draft so many wherever something is proposed; null leaves it to what is measured. */
      size: number | null;
      stopTokens: ReadonlySet<number>;
    },
  ) {}

  push(id: number): void {
    for (const source of this.sources) source.push(id);
  }

  /** Tokens to read behind the last one, at most `room`; mostly none. */
  async propose(room: number): Promise<readonly number[]> {
    const choice = room < 1 ? null : this.choose(room);
    this.taken = choice?.offer ?? null;
    if (!choice) return [];
    const draft = await choice.offer.read(choice.size);
    // Behind the end of an answer nothing is asked.
    const end = draft.findIndex((id) => this.options.stopTokens.has(id));
    return end === -1 ? draft : draft.slice(0, end);
  }

  /** How a draft went. */
  judge(drafted: number, accepted: number): void {
    if (drafted === 0) return;
    this.drafted += drafted;
    this.accepted += accepted;
    this.taken?.acceptance.judge(drafted, accepted);
  }

  private choose(room: number): { offer: Offer; size: number } | null {
    const { size: wished } = this.options;
    let best: { offer: Offer; size: number; gain: number } | null = null;
    let probe: { offer: Offer; size: number } | null = null;
    for (const source of this.sources) {
      const offer = source.offer();
      if (!offer) continue;
      const most = Math.min(offer.most, room);
      if (wished !== null) return { offer, size: Math.min(wished, most) };
      const own = this.size(offer, most);
      if (own.gain > (best?.gain ?? leastGain)) best = { offer, ...own };
      if (own.gain <= leastGain && this.isProbed(source, offer)) probe ??= { offer, size: 1 };
    }
    return best ?? probe;
  }

  /** The size that is expected to give the most tokens in a time. */
  private size(
    { acceptance: { share }, cost }: Offer,
    most: number,
  ): { size: number; gain: number } {
    let best = { size: 0, gain: 0 };
    for (const size of sizes) {
      if (size > most) break;
      // 1 + share + share² + …: a token counts when all before it were right.
      const tokens = share === 1 ? size + 1 : (1 - share ** (size + 1)) / (1 - share);
      const gain = tokens / (this.options.costs.relative(size + 1) + cost(size));
      if (gain > best.gain) best = { size, gain };
    }
    return best;
  }

  private isProbed(source: DraftSource, { canProbe }: Offer): boolean {
    const count = (this.declined.get(source) ?? 0) + 1;
    this.declined.set(source, count);
    return canProbe && count % probeEvery === 0;
  }
}
