import { t } from "@vscode/l10n";
import { badRequest } from "../base/errors.ts";
import type { AdapterInputs } from "./adapterInputs.ts";
import type { CausalSession } from "./causalSession.ts";
import { type DecodingState, missedTokens, type Request } from "./decodingState.ts";
import type { Tensor } from "./ortSession.ts";

/** A decoder that reads new tokens before the model does; what it makes of them is an input of the model. */
export interface CompanionFeed {
  readonly session: CausalSession;
  readonly inputs: AdapterInputs;
  /** Its output [batch, seq, hidden]. */
  readonly reads: string;
  /** The model's input. */
  readonly feeds: string;
}

/** What a companion remembers of a sequence. */
export interface CompanionState {
  readonly of: CompanionFeed;
  readonly state: DecodingState;
}

/**
 * Runs a companion over new tokens, and before over those of the sequence that it has not seen yet.
 * It has a cache of its own beside the model's.
 */
export async function leadWith(
  feed: CompanionFeed,
  state: DecodingState,
  { tokens, options }: Request,
): Promise<Tensor> {
  const { session, inputs, reads } = feed;
  if (state.companion?.of !== feed) {
    state.companion = { of: feed, state: session.start(inputs, state.cache.batch) };
  }
  const own = state.companion.state;
  const missed = missedTokens(own, state, () =>
    badRequest(
      t(
        "An adapter with a decoder of its own cannot go on after virtual tokens of another one. Begin the conversation anew.",
      ),
    ),
  );
  if (missed) await session.read(own, missed, reads);
  const { attentionMask } = options;
  return session.read(own, { tokens, options: { attentionMask } }, reads);
}
