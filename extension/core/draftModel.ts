import { t } from "@vscode/l10n";
import { unsupported } from "./base/errors.ts";
import { perObject } from "./base/perObject.ts";
import { type BaseModel, requireTokenizer } from "./baseModel.ts";
import type { BaseInputs } from "./baseSession.ts";
import type { DecodingSession } from "./session/decodingSession.ts";
import { canRewind } from "./session/rewind.ts";
import type { DraftModel } from "./tokens/draft/draftModel.ts";
import type { Tokenizer } from "./tokens/tokenizer.ts";
import { firstDifference } from "./tokens/vocabulary.ts";

type Difference = ReturnType<typeof firstDifference>;
/** Comparing takes a while, and is asked before every answer. */
const differences = perObject((_: Tokenizer) => new Map<Tokenizer, Difference>());

/**
 * Whether a base can propose tokens for answers whose text is made of this tokenizer's tokens.
 * @throws unsupported where vocabularies or added tokens differ, naming the first token that does, or
 * where the model does not write text token by token or cannot take tokens back
 */
export function checkDraftModel(draft: BaseModel, tokenizer: Tokenizer): void {
  const { model } = draft.session;
  const { dir } = draft.checkpoint;
  if (model.kind !== "causal" || !canRewind(model, draft.session.inputs([]))) {
    throw unsupported(
      t("{0} cannot be a draft model: it does not write text by a cache that can be cut", dir),
      t("Choose a decoder of the same family as the base."),
    );
  }
  const own = requireTokenizer(draft);
  const known = differences(tokenizer);
  if (!known.has(own)) known.set(own, firstDifference(tokenizer.vocabulary, own.vocabulary));
  const difference = known.get(own);
  if (!difference) return;
  const { id, one, other } = difference;
  throw unsupported(
    t(
      'The draft model {0} has another vocabulary: token {1} is "{2}" there and "{3}" in this model',
      ...[dir, id, other, one],
    ),
    t("Choose a smaller model with the same tokenizer, or none."),
  );
}

/** Decodes with a base's session, and that of its draft model where there is one: both stay open. */
export function withDraftModel<T>(
  of: { base: BaseModel; tokenizer: Tokenizer; draftModel: BaseModel | null },
  inputs: BaseInputs,
  use: (session: DecodingSession, draft: DraftModel | null) => Promise<T>,
): Promise<T> {
  const { base, tokenizer, draftModel } = of;
  if (!draftModel) return base.session.with(inputs, (session) => use(session, null));
  checkDraftModel(draftModel, tokenizer);
  const adapters = draftModel.session.inputs([]);
  return base.session.with(inputs, (session) =>
    draftModel.session.with(adapters, (own) => use(session, { session: own, adapters })),
  );
}
