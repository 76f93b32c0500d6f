// A reporter for node:test that counts tests and writes one JSON line. Suites are not tests, and
// neither is the entry that node:test makes up for a file that holds no test.
import { basename, isAbsolute } from "node:path";

export default async function* countReporter(events) {
  const counts = { passed: 0, failed: 0, skipped: 0, empty: [] };
  for await (const { type, data } of events) {
    if (type !== "test:pass" && type !== "test:fail") continue;
    if (data.details?.type === "suite") continue;
    const isFile = data.nesting === 0 && isFileEntry(data);
    if (type === "test:fail") {
      // A parent that failed only because a subtest failed was counted with that subtest.
      if (data.details?.error?.failureType !== "subtestsFailed") counts.failed++;
    } else if (isFile) counts.empty.push(data.name);
    else if (data.skip !== undefined || data.todo !== undefined) counts.skipped++;
    else counts.passed++;
  }
  yield `${JSON.stringify(counts)}\n`;
}

function isFileEntry({ name, file }) {
  if (!/\.test\.[cm]?[jt]s$/.test(name)) return false;
  return isAbsolute(name) || file === undefined || basename(file) === basename(name);
}
