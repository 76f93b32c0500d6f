// Runs the suites that are named: `node scripts/test.mjs unit golden [part of a path] [--name=pattern]`.
// Files are found by their place, test/<suite>/**/*.test.ts. The last line is `N passed, N failed`.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { editorEnvironment } from "./editorEnvironment.mjs";
import { ensurePackages, filesUnder, makeFolder, parseArguments, readJson } from "./shared.mjs";
import { root, runMain, say, Stop } from "./shared.mjs";

// Left to itself node:test leaves one processor idle, which of two is half.
const parallel = `--test-concurrency=${availableParallelism()}`;

/** What a suite needs beyond packages, and how node:test runs it. */
const suites = {
  unit: { flags: [parallel, "--test-timeout=120000"] },
  golden: { flags: [parallel, "--test-timeout=300000"] },
  python: { flags: [parallel, "--test-timeout=1200000"] },
  bench: { flags: ["--test-concurrency=1", "--test-timeout=1200000"] },
  // A window mostly waits: two at once take turns on the processors; three take no less time.
  e2e: { prepare: editorEnvironment, flags: ["--test-concurrency=2", "--test-timeout=600000"] },
};

await runMain(async (args) => {
  const { options, rest } = parseArguments(args, ["name"]);
  const names = rest.filter((word) => word in suites);
  const filters = rest.filter((word) => !(word in suites));
  if (names.length === 0) {
    throw new Stop(`Which suite? node scripts/test.mjs <${Object.keys(suites).join("|")}>`);
  }
  await ensurePackages();
  const total = { passed: 0, failed: 0 };
  let missing = 0;
  for (const name of names) {
    const counts = await runSuite(name, filters, options.name);
    total.passed += counts.passed;
    total.failed += counts.failed;
    for (const file of counts.empty) say(`${file} holds no test.`);
    if (counts.skipped > 0) say(`${name}: ${counts.skipped} skipped`);
    if (counts.passed + counts.failed === 0) {
      say(`${name}: no test ran.`);
      missing++;
    }
  }
  process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`);
  return total.failed > 0 || missing > 0 ? 1 : 0;
});

async function runSuite(name, filters, pattern) {
  const files = filesUnder(join(root, "test", name))
    .filter((path) => /\.test\.ts$/.test(path))
    // The longest first, as near as a length in bytes tells: then all processors have work to the end.
    .sort((a, b) => statSync(b).size - statSync(a).size)
    .map((path) => relative(root, path))
    .filter((path) => filters.length === 0 || filters.some((part) => path.includes(part)));
  const nothing = { passed: 0, failed: 0, skipped: 0, empty: [] };
  if (files.length === 0) return nothing;
  const suite = suites[name];
  const env = { ...process.env, ...(await suite.prepare?.()) };
  // Set by a test runner around this one; a child with it would report in another format.
  delete env.NODE_TEST_CONTEXT;
  const scratch = mkdtempSync(join(makeFolder(join(root, "dist")), "test-"));
  const countFile = join(scratch, "counts.json");
  const flags = [
    ...["--enable-source-maps", "--test", ...suite.flags],
    ...["--test-reporter=spec", "--test-reporter-destination=stdout"],
    ...["--test-reporter=./scripts/countReporter.mjs", `--test-reporter-destination=${countFile}`],
    ...(pattern === undefined ? [] : [`--test-name-pattern=${pattern}`]),
  ];
  try {
    say(`${name}: ${files.length} ${files.length === 1 ? "file" : "files"}`);
    // Written with packages, which are there only now.
    const { compileTests } = await import("./compileTests.mjs");
    const modules = await compileTests(files, scratch);
    const code = await finish(spawn(process.execPath, [...flags, ...modules], options(env)));
    const counts = existsSync(countFile) ? readJson(countFile) : undefined;
    if (counts === undefined) return { ...nothing, failed: 1 };
    // The runner itself can fail (a bad flag, a crash) although no test did.
    if (code !== 0 && counts.failed === 0) counts.failed = 1;
    return counts;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function options(env) {
  return { cwd: root, env, stdio: ["ignore", "inherit", "inherit"] };
}

function finish(child) {
  return new Promise((done, fail) => {
    child.on("error", fail);
    child.on("close", (code) => done(code ?? 1));
  });
}
