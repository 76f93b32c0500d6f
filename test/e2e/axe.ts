// The accessibility pass: axe-core run inside a webview's own frame.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Frame } from "playwright-core";

const source = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

interface Finding {
  impact: string | null;
  id: string;
  help: string;
  nodes: { html: string; failureSummary?: string }[];
}

/** What axe-core calls serious or critical on a page, each with where it is. Empty is good. */
export async function accessibilityFindings(frame: Frame): Promise<string[]> {
  // Put in by the debugger, so that the page's policy, which lets no such script in, stays as it is.
  await frame.evaluate(`${source}; undefined`);
  const found = await frame.evaluate<Finding[]>(
    `axe.run(document, { resultTypes: ["violations"] }).then((result) => result.violations.map(
      ({ impact, id, help, nodes }) => ({ impact, id, help, nodes: nodes.slice(0, 5).map(
        ({ html, failureSummary }) => ({ html: html.slice(0, 200), failureSummary })) })))`,
  );
  return found
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(
      ({ id, help, nodes }) =>
        `${id}: ${help}\n${nodes.map(({ html, failureSummary }) => `${html}\n${failureSummary ?? ""}`).join("\n")}`,
    );
}
