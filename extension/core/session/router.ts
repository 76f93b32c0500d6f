import { t } from "@vscode/l10n";
import { badRequest } from "../base/errors.ts";
import type { RouterFeed, TokenWeights } from "./adapterInputs.ts";
import { type DecodingState, missedTokens, type Request } from "./decodingState.ts";
import { float32Tensor, type Tensor } from "./ortSession.ts";

/** The passes of a session that a router reads. */
interface FirstPasses {
  start(): DecodingState;
  /** Runs new tokens for the output that the router reads. */
  read(state: DecodingState, request: Request): Promise<Tensor>;
}

/** Runs the first pass over new tokens, and before over those that it has not seen yet. */
export async function weighWith(
  router: RouterFeed,
  state: DecodingState,
  { tokens, options }: Request,
  passes: FirstPasses,
): Promise<TokenWeights> {
  if (state.first?.of !== router) state.first = { of: router, state: passes.start() };
  const { state: own } = state.first;
  const missed = missedTokens(own, state, () =>
    badRequest(
      t(
        "An adapter that routes by a first pass cannot go on after virtual tokens of another one. Begin the conversation anew.",
      ),
    ),
  );
  if (missed) await passes.read(own, withoutLogits(missed));
  const read = await passes.read(own, withoutLogits({ tokens, options }));
  return { of: router, values: router.weights(read.data as Float32Array) };
}

function withoutLogits({ tokens, options }: Request): Request {
  return { tokens, options: { ...options, logitsRows: [] } };
}

/** Puts a router's weights in the place of those of its first pass, for new tokens [batch][seq]. */
export function feedWeights(
  feeds: Record<string, Tensor>,
  { of: { inputs, count }, values }: TokenWeights,
  tokens: readonly (readonly number[])[],
): void {
  const seq = tokens[0]?.length ?? 0;
  for (const { name, places } of inputs) {
    const data = new Float32Array(tokens.length * seq * places.length);
    for (let i = 0; i < data.length; i++) {
      const place = i % places.length;
      const token = (i - place) / places.length;
      data[i] = values[token * count + (places[place] as number)] as number;
    }
    feeds[name] = float32Tensor(data, [tokens.length, seq, places.length]);
  }
}
