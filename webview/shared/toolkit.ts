/**
 * The one importer of the UI toolkit, so that a swap stays small. How a page is loaded: the host's
 * HTML links `dist/webview/<page>.css` (esbuild writes it because main.ts imports its css) and runs
 * `dist/webview/<page>.js` with the nonce; the body may be empty, the page builds itself. The policy
 * needs `script-src 'nonce-…'` and `style-src <cspSource> 'unsafe-inline'` (the toolkit's styles).
 */
import {
  type Button,
  type Checkbox,
  provideVSCodeDesignSystem,
  type TextArea,
  type TextField,
  vsCodeBadge,
  vsCodeButton,
  vsCodeCheckbox,
  vsCodeProgressRing,
  vsCodeTextArea,
  vsCodeTextField,
} from "@vscode/webview-ui-toolkit";

export type { Button, Checkbox, TextArea, TextField };

/** The toolkit's tags that the pages use, with what `element()` returns for each. */
export interface ToolkitTags {
  "vscode-badge": HTMLElement;
  "vscode-button": Button;
  "vscode-checkbox": Checkbox;
  "vscode-progress-ring": HTMLElement;
  "vscode-text-area": TextArea;
  "vscode-text-field": TextField;
}

/** Defines the tags; called once by each page before it builds anything. */
export function registerToolkit(): void {
  provideVSCodeDesignSystem().register(
    vsCodeBadge(),
    vsCodeButton(),
    vsCodeCheckbox(),
    vsCodeProgressRing(),
    vsCodeTextArea(),
    vsCodeTextField(),
  );
}
