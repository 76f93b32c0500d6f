import { t } from "@vscode/l10n";
import { unsupported } from "../base/errors.ts";
import type { Model } from "../models/model.ts";
import { CausalSession } from "./causalSession.ts";
import type { DecodingSession } from "./decodingSession.ts";
import { EncoderSession } from "./encoderSession.ts";
import { ImageSession } from "./imageSession.ts";
import type { SessionOptions } from "./ortSession.ts";
import type { RunningSession } from "./runningSession.ts";
import { Seq2SeqSession } from "./seq2seqSession.ts";

/** Opens the session that knows to run a model of this kind. */
export function openSession(model: Model, options?: SessionOptions): Promise<RunningSession> {
  switch (model.kind) {
    case "causal":
      return CausalSession.create(model, options);
    case "encoder":
      return EncoderSession.create(model, options);
    case "seq2seq":
      return Seq2SeqSession.create(model, options);
    case "image":
      return ImageSession.create(model, options);
  }
}

/** A session as one that decodes token by token. @throws unsupported where the model does not */
export function decodingSession(session: RunningSession): DecodingSession {
  if (session instanceof CausalSession || session instanceof Seq2SeqSession) return session;
  throw unsupported(
    t("This base is {0}, which does not write text", article(session.model)),
    t("Ask it for a prediction instead."),
  );
}

function article({ head }: Model): string {
  return t("a model for {0}", (head?.task ?? "language-modeling").replaceAll("-", " "));
}
