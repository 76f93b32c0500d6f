import { t } from "@vscode/l10n";
import * as path from "node:path";
import { asGraftError } from "../base/errors.ts";
import { isFile } from "../base/files.ts";
import { readChatTemplate, readTokenizer, type Tokenizer } from "./tokenizer.ts";

/** Files of tokenizers that Graft does not read without a tokenizer.json. */
const others = ["tokenizer.model", "added_tokens.json", "vocab.json", "spiece.model"];

/**
 * The tokenizer that came with an adapter: its own tokenizer.json, or the base's with the adapter's
 * chat template. One that cannot be read is a warning, for the adapter itself is fine.
 * @param folders where it may be, the likeliest first
 */
export async function adapterTokenizer(
  folders: readonly string[],
  base: Tokenizer | null,
): Promise<{ tokenizer: Tokenizer | null; warnings: string[] }> {
  for (const dir of new Set(folders)) {
    try {
      const tokenizer = (await readTokenizer(dir)) ?? (await withTemplate(dir, base));
      if (tokenizer) return { tokenizer, warnings: [] };
    } catch (error) {
      const { message } = asGraftError(error);
      const warning = t("The adapter's own tokenizer is not used: {0}", message);
      return { tokenizer: null, warnings: [warning] };
    }
    for (const name of others) {
      if (!(await isFile(path.join(dir, name)))) continue;
      const warning = t(
        "The adapter has {0} without a tokenizer.json: the base's tokenizer is used.",
        name,
      );
      return { tokenizer: null, warnings: [warning] };
    }
  }
  return { tokenizer: null, warnings: [] };
}

async function withTemplate(dir: string, base: Tokenizer | null): Promise<Tokenizer | null> {
  const chatTemplate = base && (await readChatTemplate(dir));
  if (!base || !chatTemplate) return null;
  // Copied with its getter, so that the vocabulary is still made when first asked for.
  return Object.defineProperties({} as Tokenizer, {
    ...Object.getOwnPropertyDescriptors(base),
    chatTemplate: { value: chatTemplate, enumerable: true },
  });
}
