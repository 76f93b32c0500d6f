// `npm run demo` and `npm run graft -- <command>`: Graft's core in a terminal, without VS Code.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { ensureBuilt, ensurePackages, root, runMain } from "./shared.mjs";

await runMain(async (args) => {
  await ensurePackages();
  await ensureBuilt();
  const child = spawn(process.execPath, [join(root, "dist/cli.cjs"), ...args], {
    stdio: "inherit",
  });
  // Ctrl-C reaches the child by itself; this process stays to hand its exit code on.
  process.on("SIGINT", () => undefined);
  return await new Promise((done) =>
    child.on("close", (code, signal) => done(signal ? 130 : code)),
  );
});
