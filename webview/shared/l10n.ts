/** The page's texts: English is the key, the host puts the bundle of another language into the page. */
import { config, t } from "@vscode/l10n";

const bundle = document.getElementById("l10n")?.textContent;
// Before any text is asked for: whoever imports `t` from here imports this first.
if (bundle) config({ contents: bundle });

export { t };
