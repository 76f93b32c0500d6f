/** Texts of the editor's language for what does not see `vscode`. Imported before what speaks. */
import { config } from "@vscode/l10n";
import { l10n } from "vscode";

if (l10n.bundle !== undefined) config({ contents: l10n.bundle });
