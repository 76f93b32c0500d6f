import type { AdapterInputs } from "./adapterInputs.ts";
import type { DecodingState, ForwardOptions, Logits } from "./decodingState.ts";
import type { RunningSession } from "./runningSession.ts";

/** A session that writes text token by token. */
export interface DecodingSession extends RunningSession {
  /**
   * True where an encoder reads the prompt: it is the first thing that `forward` is given, whole, and is
   * no part of the text that the answer goes on with.
   */
  readonly readsApart: boolean;
  start(
    adapters: AdapterInputs,
    batch?: number,
    prompt?: readonly (readonly number[])[] | null,
  ): DecodingState;
  forward(
    state: DecodingState,
    tokens: readonly (readonly number[])[],
    options?: ForwardOptions,
  ): Promise<Logits>;
}
