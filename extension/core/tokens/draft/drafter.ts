import { type Match, NgramLookup } from "./lookup.ts";
import type { StepCosts } from "./stepCosts.ts";

/** Drafted tokens of a pass: few sizes, as each is a shape that the runtime plans for. */
const sizes = [1, 2, 3, 5, 7, 11, 15] as const;
/** A draft must be expected to save so much: estimates are not that exact. */
const leastGain = 1.05;
/** One in so many drafts that are not worth it is made all the same, to see whether that has changed. */
const probeEvery = 32;

/** How often a drafted token was right after matches of a length, by what it was lately. */
interface Acceptance {
  right: number;
  all: number;
}

/** After matches of 2, of 3 and 4, and of more tokens: guesses that count as a few tokens do. */
const guesses: readonly Acceptance[] = [
  { right: 1.6, all: 4 },
  { right: 2.6, all: 4 },
  { right: 3.4, all: 4 },
];
/** What counts of the past with each new draft. */
const memory = 0.92;

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
  private readonly lookup: NgramLookup;
  private readonly acceptance = guesses.map((each) => ({ ...each }));
  private declined = 0;
  private match: Match | null = null;

  constructor(
    text: readonly number[],
    private readonly options: {
      costs: StepCosts;
      /** Draft so many wherever there is a match; null leaves it to what is measured. */
      size: number | null;
      stopTokens: ReadonlySet<number>;
    },
  ) {
    this.lookup = new NgramLookup(text);
  }

  push(id: number): void {
    this.lookup.push(id);
  }

  /** Tokens to read behind the last one, at most `room`; mostly none. */
  propose(room: number): readonly number[] {
    this.match = room < 1 ? null : this.lookup.find();
    if (!this.match) return [];
    const size = this.options.size ?? this.size(this.match, room);
    const draft = this.lookup.read(this.match, Math.min(size, room));
    // Behind the end of an answer nothing is asked.
    const end = draft.findIndex((id) => this.options.stopTokens.has(id));
    return end === -1 ? draft : draft.slice(0, end);
  }

  /** How a draft went. */
  judge(drafted: number, accepted: number): void {
    if (drafted === 0) return;
    this.drafted += drafted;
    this.accepted += accepted;
    const own = this.acceptance[classOf(this.match)] as Acceptance;
    own.right = own.right * memory + accepted;
    own.all = own.all * memory + Math.min(drafted, accepted + 1);
  }

  /** The size that is expected to give the most tokens in a time; 0 where that is none. */
  private size(match: Match, most: number): number {
    const { right, all } = this.acceptance[classOf(match)] as Acceptance;
    const share = right / all;
    let best = { size: 0, gain: leastGain };
    for (const size of sizes) {
      if (size > most) break;
      // 1 + share + share² + …: a token counts when all before it were right.
      const tokens = share === 1 ? size + 1 : (1 - share ** (size + 1)) / (1 - share);
      const gain = tokens / this.options.costs.relative(size + 1);
      if (gain > best.gain) best = { size, gain };
    }
    if (best.size === 0 && ++this.declined % probeEvery === 0) return 1;
    return best.size;
  }
}

function classOf(match: Match | null): number {
  const length = match?.length ?? 0;
  return length < 3 ? 0 : length < 5 ? 1 : 2;
}
