// An extension beside Graft that notes when messages pass between extension host and engine, and, loaded into the
// engine as well, when the model runs. Times are milliseconds since 1970, comparable with a page's.
"use strict";
const childProcess = require("node:child_process");
const { appendFile } = require("node:fs");
const Module = require("node:module");
const { join } = require("node:path");

// `performance.timeOrigin` of an extension host was found 125 ms away from the time of day.
const zero = clockZero();
const program = /dist[\\/]engine\.cjs$/;
const note = noteIn(join(process.env.GRAFT_SEAMS, `${process.pid}.jsonl`));
if (program.test(process.argv[1] ?? "")) observeEngine();

exports.activate = () => {
  const { fork } = childProcess;
  childProcess.fork = (file, args, options) => {
    if (!program.test(file)) return fork(file, args, options);
    const execArgv = [...(options?.execArgv ?? []), "--require", __filename];
    const child = fork(file, args, { ...options, execArgv });
    before(child, "send", (message) => isAsked(message) && note("host asked"));
    listen(child, "message", (message) => message.kind === "event" && note("host told"));
    return child;
  };
};

/** What to add to `performance.now()` for milliseconds since 1970: where the clock turns, the best of five, as a process can be held up. */
function clockZero() {
  const turn = () => {
    const before = Date.now();
    let now = before;
    while (now === before) now = Date.now();
    return now - performance.now();
  };
  return Math.max(turn(), turn(), turn(), turn(), turn());
}

function noteIn(file) {
  let lines = "";
  let timer;
  return (name) => {
    lines += `${JSON.stringify({ name, at: zero + performance.now() })}\n`;
    // Nothing is written while an answer begins.
    timer ??= setTimeout(() => {
      timer = undefined;
      appendFile(file, lines, () => undefined);
      lines = "";
    }, 500);
  };
}

function observeEngine() {
  listen(process, "message", (message) => isAsked(message) && note("engine asked"));
  before(process, "send", (message) => message.kind === "event" && note("engine told"));
  const load = Module._load;
  Module._load = (name, ...rest) => {
    const loaded = load(name, ...rest);
    if (name === "onnxruntime-node") observeRuns(loaded.InferenceSession.prototype);
    return loaded;
  };
}

function observeRuns(session) {
  const { run } = session;
  if (run.isObserved) return;
  session.run = async function (...given) {
    note("run began");
    const made = await run.apply(this, given);
    note("run ended");
    return made;
  };
  session.run.isObserved = true;
}

function isAsked(message) {
  return message.kind === "request" && message.method === "generateColumns";
}

function before(object, method, hear) {
  const own = object[method];
  if (!own) return;
  object[method] = function (...given) {
    hear(...given);
    return own.apply(this, given);
  };
}

function listen(emitter, event, hear) {
  before(emitter, "emit", (name, ...given) => name === event && hear(...given));
}
