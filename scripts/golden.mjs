// The golden checks with their table, over the committed cases or over a folder of that layout:
// `npm run test:golden -- [DIR] [--only=PATTERN]`. The last line is `N passed, N failed`.
import { spawn } from "node:child_process";
import { resolve } from "node:path";
import { ensurePackages, root, runMain } from "./shared.mjs";

await runMain(async (args) => {
  await ensurePackages();
  const cases = args.map((arg) =>
    arg.startsWith("--") ? arg : resolve(process.env.INIT_CWD ?? ".", arg),
  );
  const child = spawn(process.execPath, ["--import", "tsx", "test/golden/run.ts", ...cases], {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
  });
  return new Promise((done, fail) => {
    child.on("error", fail);
    child.on("close", (code) => done(code ?? 1));
  });
});
