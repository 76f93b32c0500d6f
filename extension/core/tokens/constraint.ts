/** What an answer may go on with; the sampler chooses among that. */
export interface TokenConstraint {
  allows(id: number): boolean;
  /** One entry a token [vocabulary], 1 where it is allowed. */
  mask(): Uint8Array;
  /** The token that was chosen. */
  take(id: number): void;
  /** Nothing can follow. */
  readonly isFinal: boolean;
  /** Tokens that will likely follow, as few others may; none where much may. */
  foresee?(): readonly number[];
  /** The same from here on, to look ahead with; absent where that cannot be. */
  copy?(): TokenConstraint;
}
