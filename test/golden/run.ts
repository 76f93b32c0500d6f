// The golden checks over any folder laid out like the golden data: npm run test:golden -- DIR
import * as path from "node:path";
import type { Outcome } from "./outcome.ts";
import { runCases } from "./runCases.ts";

const here = import.meta.dirname;
const root = path.resolve(process.argv[2] ?? path.join(here, "fixtures"));
const outcomes = await runCases(root, {
  sampleModels: path.join(here, "../../media/sample"),
  onOutcome: ({ id, result, note }) => console.log(`${result.padEnd(7)} ${id}  ${note}`),
});

console.log(`\n${"group".padEnd(26)} passed skipped failed`);
for (const group of [...new Set(outcomes.map((outcome) => outcome.group))].sort()) {
  const own = outcomes.filter((outcome) => outcome.group === group);
  const columns = (["passed", "skipped", "failed"] as const).map((result) =>
    String(count(own, result)).padStart(result.length),
  );
  console.log(`${group.padEnd(26)} ${columns.join(" ")}`);
}
const [passed, failed, skipped] = (["passed", "failed", "skipped"] as const).map((result) =>
  count(outcomes, result),
);
console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failed === 0 && (passed ?? 0) > 0 ? 0 : 1;

function count(list: readonly Outcome[], result: Outcome["result"]): number {
  return list.filter((outcome) => outcome.result === result).length;
}
