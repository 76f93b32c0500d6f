// Runs a script that drives a real VS Code: `node scripts/withEditor.mjs test/bench/firstToken.ts [arguments]`.
import { spawn } from "node:child_process";
import { editorEnvironment } from "./editorEnvironment.mjs";
import { ensurePackages, root, runMain } from "./shared.mjs";

await runMain(async (args) => {
  await ensurePackages();
  const env = { ...process.env, ...(await editorEnvironment()) };
  const flags = ["--import", "tsx", ...args];
  const child = spawn(process.execPath, flags, { cwd: root, env, stdio: "inherit" });
  return new Promise((done, fail) => {
    child.on("error", fail);
    child.on("close", (code) => done(code ?? 1));
  });
});
