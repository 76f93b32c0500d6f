import assert from "node:assert/strict";
import { accessibilityFindings } from "./axe.ts";
import { type Look, looks, scenario, until, type VSCode } from "./harness.ts";

const adapters = "Adapters";
/** As wide as a panel beside an editor on a small screen. */
const narrow = { width: 760, height: 900 };
const wide = { width: 1400, height: 900 };

scenario("no page has a serious finding of axe-core in any look", {}, async (vscode) => {
  const found: string[] = [];
  // There and back again: one theme less to change at each page.
  let order = Object.keys(looks) as Look[];
  const check = async (selector: string, page: string): Promise<void> => {
    for (const look of order) {
      await vscode.look(look);
      // A page that was just shown may be put into a new frame under its reader.
      const findings = await until(`${page} is read`, async () =>
        accessibilityFindings(await vscode.webviewFrame(selector)),
      );
      found.push(...findings.map((finding) => `${page} in ${look}: ${finding}`));
      await vscode.screenshot(`46 ${page} ${look}`);
    }
    order = order.toReversed();
    await vscode.page.setViewportSize(narrow);
    const cut = await until(`${page} is read when narrow`, async () => sideways(vscode, selector));
    found.push(...cut.map((what) => `${page} when narrow: ${what}`));
    await vscode.screenshot(`47 ${page} narrow`);
    await vscode.page.setViewportSize(wide);
  };
  await visitPages(vscode, check);
  assert.deepEqual(found, []);
});

/** What makes a page wider than its frame. */
async function sideways(vscode: VSCode, selector: string): Promise<string[]> {
  const frame = await vscode.webviewFrame(selector);
  return frame.evaluate<string[]>(`(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth <= clientWidth) return [];
    const over = [...document.querySelectorAll("body *")]
      .filter((each) => each.getBoundingClientRect().right > clientWidth + 1);
    return over.slice(0, 5).map((each) => each.outerHTML.slice(0, 120));
  })()`);
}

async function visitPages(
  vscode: VSCode,
  check: (selector: string, page: string) => Promise<void>,
): Promise<void> {
  await vscode.openGraft();
  await vscode.activate(adapters, "lora-pirate");
  await vscode.runCommand("Graft: Open Playground");
  await check("#prompt", "playground");
  await vscode.runCommand("Graft: Compare Status");
  await check("#layer-filter", "status");
  await vscode.runAndPick("Graft: Compare Adapters…", "lora-pirate", "dora-shout");
  await check("#merge-words", "compare");
  await vscode.rowAction(adapters, "lora-pirate", "Open Inspector");
  await check("#modules", "inspector");
  const inspector = await vscode.webviewFrame('[id="open-adapter_model.safetensors"]');
  await inspector.locator('[id="open-adapter_model.safetensors"]').click();
  await check("#tensor-grid", "tensors");
}
