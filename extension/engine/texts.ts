/** Texts of the editor's language, from the bundle that the host names. Imported before what speaks. */
import { config } from "@vscode/l10n";

const bundle = process.env["GRAFT_L10N"];
if (bundle) config({ fsPath: bundle });
