import { t } from "@vscode/l10n";
import { whoAmI as askWhoAmI } from "@huggingface/hub";
import { unauthorized } from "../base/errors.ts";
import { throughLibrary } from "./library.ts";
import { answerError } from "./repo.ts";
import { type HubOptions, hubSettings } from "./settings.ts";

/** Whose the token is. */
export interface Account {
  readonly name: string;
  readonly organizations: readonly string[];
  /** Whether the token may push; of a fine-grained one only the Hub knows, so it counts as able. */
  readonly canWrite: boolean;
}

/** @throws unauthorized without a token, and for one that the Hub does not take */
export async function whoAmI(options: HubOptions = {}, signal?: AbortSignal): Promise<Account> {
  const settings = await hubSettings(options);
  if (settings.token === null) {
    throw unauthorized(
      t("No Hugging Face token is kept on this machine. Sign in or set HF_TOKEN."),
      {},
    );
  }
  const about = {};
  const through = throughLibrary(settings, { about, signal });
  // The library wants a token in its call; the real one is added where requests are sent.
  const asked = askWhoAmI({ ...through, credentials: { accessToken: "" } });
  const found = await asked.catch((error: unknown) => {
    throw answerError(error, about);
  });
  const organizations = found.type === "user" ? found.orgs.map(({ name }) => name) : [];
  return { name: found.name, organizations, canWrite: found.auth.accessToken?.role !== "read" };
}
