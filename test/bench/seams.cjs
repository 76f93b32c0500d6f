// Loaded into every Node process of an editor that is measured: notes when messages pass between extension host
// and engine, and when the model runs. Times are milliseconds since 1970, comparable with a page's.
"use strict";
const childProcess = require("node:child_process");
const { appendFile } = require("node:fs");
const Module = require("node:module");
const { join } = require("node:path");

const folder = process.env.GRAFT_SEAMS;
if (folder) observe(join(folder, `${process.pid}.jsonl`));

function observe(file) {
  let lines = "";
  let timer;
  const note = (name) => {
    lines += `${JSON.stringify({ name, at: performance.timeOrigin + performance.now() })}\n`;
    // Nothing is written while an answer begins.
    clearTimeout(timer);
    timer = setTimeout(() => {
      appendFile(file, lines, () => undefined);
      lines = "";
    }, 300);
    timer.unref();
  };
  if (/dist[\\/]engine\.cjs$/.test(process.argv[1] ?? "")) observeEngine(note);
  else observeHost(note);
}

function observeEngine(note) {
  listen(process, "message", (message) => isAsked(message) && note("engine asked"));
  before(process, "send", (message) => message.kind === "event" && note("engine told"));
  const load = Module._load;
  Module._load = (name, ...rest) => {
    const loaded = load(name, ...rest);
    if (name === "onnxruntime-node") observeRuns(loaded.InferenceSession.prototype, note);
    return loaded;
  };
}

function observeRuns(session, note) {
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

function observeHost(note) {
  const { fork } = childProcess;
  childProcess.fork = (program, ...rest) => {
    const child = fork(program, ...rest);
    if (!/dist[\\/]engine\.cjs$/.test(program)) return child;
    before(child, "send", (message) => isAsked(message) && note("host asked"));
    listen(child, "message", (message) => message.kind === "event" && note("host told"));
    return child;
  };
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
