/** How often drafted tokens of a kind were right, by what they were lately. */
export class Acceptance {
  /** @param right of `all` tokens that count from the beginning: a guess that a few tokens outweigh */
  constructor(
    private right: number,
    private all = 4,
  ) {}

  get share(): number {
    return this.right / this.all;
  }

  judge(drafted: number, accepted: number): void {
    this.right = this.right * memory + accepted;
    this.all = this.all * memory + Math.min(drafted, accepted + 1);
  }
}

/** What counts of the past with each new draft. */
const memory = 0.92;

/** What a source would propose. */
export interface Offer {
  /** At most so many tokens. */
  readonly most: number;
  readonly acceptance: Acceptance;
  /** Milliseconds that making so many takes, in plain steps of the model that judges them. */
  readonly cost: (size: number) => number;
  /** False where it is too much work to see only whether it is worth it by now. */
  readonly canProbe: boolean;
  readonly read: (size: number) => readonly number[] | Promise<readonly number[]>;
}

/** Something that proposes what a text may go on with. */
export interface DraftSource {
  push(id: number): void;
  offer(): Offer | null;
}

export const free = (): number => 0;
