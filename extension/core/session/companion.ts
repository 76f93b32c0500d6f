import { t } from "@vscode/l10n";
import { badRequest } from "../base/errors.ts";
import type { AdapterInputs } from "./adapterInputs.ts";
import type { CausalSession, DecodingState, Request } from "./causalSession.ts";
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
  const past = state.cache.length;
  if (state.companion?.of !== feed) {
    state.companion = { of: feed, state: session.start(inputs, state.cache.batch) };
  }
  const own = state.companion.state;
  const known = Math.min(own.cache.length, past);
  own.cache.truncate(known);
  for (const row of [...own.seen, ...own.ids]) row.length = known;
  if (known < past) {
    const missed = state.ids.map((row) => row.slice(known, past));
    if (missed.flat().some((id) => id < 0)) {
      throw badRequest(
        t(
          "An adapter with a decoder of its own cannot go on after virtual tokens of another one. Begin the conversation anew.",
        ),
      );
    }
    const attentionMask = state.seen.map((row) => Uint8Array.from(row.slice(known, past)));
    await session.read(own, { tokens: missed, options: { attentionMask } }, reads);
  }
  const { attentionMask } = options;
  return session.read(own, { tokens, options: { attentionMask } }, reads);
}
