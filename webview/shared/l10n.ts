/** The page's texts: English is the key, the host puts the bundle of another language into the page. */
import { config, t } from "@vscode/l10n";

// Tests of what a page computes have no document.
const { document: page } = globalThis as {
  document?: { getElementById(id: string): { textContent: string | null } | null };
};
const bundle = page?.getElementById("l10n")?.textContent;
// Before any text is asked for: whoever imports `t` from here imports this first.
if (bundle) config({ contents: bundle });

export { t };
