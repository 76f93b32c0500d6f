// The golden checks over any folder laid out like the golden data: npm run test:golden -- [DIR] [--only=PATTERN]
import * as path from "node:path";
import { type Outcome, type Result, results } from "./outcome.ts";
import { runCases } from "./runCases.ts";

const here = import.meta.dirname;
const args = process.argv.slice(2);
const folder = args.find((arg) => !arg.startsWith("--"));
const pattern = args.find((arg) => arg.startsWith("--only="))?.slice("--only=".length);
const root = path.resolve(folder ?? path.join(here, "fixtures"));
const outcomes = await runCases(root, {
  ...(pattern !== undefined && { only: new RegExp(pattern) }),
  sampleModels: path.join(here, "../../media/sample"),
  onOutcome: ({ id, result, note }) => console.log(`${result.padEnd(8)} ${id}  ${note}`),
});

const width = Math.max(...outcomes.map(({ group }) => group.length));
console.log(`\n${"method".padEnd(width)} ${results.join(" ")}`);
for (const group of [...new Set(outcomes.map((outcome) => outcome.group))].sort()) {
  const own = outcomes.filter((outcome) => outcome.group === group);
  const columns = results.map((result) => String(count(own, result)).padStart(result.length));
  console.log(`${group.padEnd(width)} ${columns.join(" ")}`);
}
for (const result of ["refused", "left out"] as const) {
  const own = outcomes.filter((outcome) => outcome.result === result);
  if (own.length > 0) console.log(`\n${result}:`);
  for (const { id, note } of own) console.log(`  ${id}  ${note}`);
}
console.log(`\n${results.map((result) => `${count(outcomes, result)} ${result}`).join(", ")}`);
process.exitCode = count(outcomes, "failed") === 0 && count(outcomes, "passed") > 0 ? 0 : 1;

function count(list: readonly Outcome[], result: Result): number {
  return list.filter((outcome) => outcome.result === result).length;
}
