// Speaks just enough of the protocol to be an engine: echoes, hangs, and dies when asked.
// `FAKE_ENGINE=dies` dies before it says hello.
if (process.env.FAKE_ENGINE === "dies") process.exit(3);

process.on("message", ({ kind, id, method, params }) => {
  const answer = (result) => process.send({ kind: "result", id, result });
  if (kind === "cancel") {
    const error = { code: "cancelled", message: "Cancelled.", details: {} };
    process.send({ kind: "error", id, error });
  }
  if (kind !== "request") return;
  if (method === "hello") {
    const same = process.env.FAKE_ENGINE !== "other-version";
    const error = { code: "bad-request", message: "The engine speaks version 9.", details: {} };
    if (!same) return process.send({ kind: "error", id, error });
    return answer({ version: 1, pid: process.pid, runtime: "fake", methods: [], families: [] });
  }
  if (method === "generate") return undefined; // never ends by itself
  if (method === "estimateTraining") {
    const { name } = params.config;
    if (name === "hangs") return undefined;
    if (name === "dies") return process.kill(process.pid, "SIGKILL");
    process.send({ kind: "event", id, event: { step: "measuring" } });
    return answer({ steps: 7 });
  }
  if (method === "unloadBaseModel" && params.base === "die") process.kill(process.pid, "SIGKILL");
  return answer({ method, params });
});
process.on("disconnect", () => process.exit());
