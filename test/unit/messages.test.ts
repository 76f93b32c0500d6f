import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { after, test } from "node:test";
import * as errors from "../../extension/core/base/errors.ts";
import { openAdapterCheckpoint } from "../../extension/core/checkpoint/adapterCheckpoint.ts";
import { openWeightFile } from "../../extension/core/checkpoint/openWeightFile.ts";
import { readAdapterConfig } from "../../extension/core/checkpoint/adapterConfig.ts";
import { createService } from "../../extension/engine/service.ts";
import type { ErrorCode, GraftError } from "../../extension/core/base/errors.ts";
import { collectMessages, type Message, messagesOf } from "../support/messages.ts";
import { sample, temporaryFolder } from "./core/support.ts";

const all = collectMessages();
const read = all.filter(({ text }) => text !== null) as (Message & { text: string })[];

/** A second clause: a reason, or what to do. */
function saysMore(text: string): boolean {
  return /[.!?;:…] \S/.test(text);
}

/** What the factories add to a statement of one clause. */
const adds = new Set(["badFile", "notFound", "unsupported", "misfit", "badRequest"]);

/** Results that ask for nothing, and faults that nobody foresaw: errors.ts says there what to do. */
const complete = [
  /^(Signed in|\{\d\} (of quantized weights removed|pushed))/,
  /^(Cancelled|Graft is closing)\.$/,
  /so there is nothing to /,
  /^(Open|Select|Choose|Delete|Push) /,
];

function isComplete({ by, text, at }: { by: string; text: string; at: string }): boolean {
  const isInternal = by === "GraftError" && /connection|adaptableSession|merge\.ts|models\/index/.test(at); // prettier-ignore
  return isInternal || complete.some((pattern) => pattern.test(text));
}

function assertNone(what: string, found: readonly Message[]): void {
  const lines = found.map(({ at, by, text }) => `${at} ${by}: ${text}`);
  assert.equal(lines.length, 0, `${what}:\n${lines.join("\n")}`);
}

test("the walk meets the messages of core, engine, host and pages", () => {
  assert(all.length > 650, `${all.length}`);
  const unread = all.filter(({ text }) => text === null);
  // Those are handed on: their words are read where they are made.
  assert(unread.length < 25, unread.map(({ at }) => at).join("\n"));
  for (const by of ["badFile", "misfit", "unsupported", "HostError", "showErrorMessage"]) {
    assert(read.some((message) => message.by === by), by); // prettier-ignore
  }
});

test("every message says what to do, or has a button that does it", () => {
  const silent = read.filter(
    (message) =>
      !adds.has(message.by) &&
      !message.hasAction &&
      message.remedy === null &&
      !saysMore(message.text) &&
      !isComplete(message),
  );
  assertNone("says only what happened", silent);
});

test("no message holds words of the machine", () => {
  const inner = /\bundefined\b|\[object|\bstack trace\b|TypeError|ENOENT|EACCES|\bnull\b|errno|Promise|\bthrown?\b/; // prettier-ignore
  // Values of files are quoted as the file spells them.
  const quoted = /["“'][^"”']*(null|undefined)[^"”']*["”']/;
  assertNone(
    "inner words",
    read.filter(({ text }) => inner.test(text) && !quoted.test(text)),
  );
});

test("no message shouts, begs or blames", () => {
  assertNone(
    "tone",
    read.filter(({ text }) => /!|\b(please|sorry|oops|invalid input|illegal|fatal)\b/i.test(text)),
  );
});

test("messages begin with a capital or a value and end as sentences", () => {
  const isWhole = ({ by }: Message): boolean =>
    /^(HostError|show\w+|misfit|badRequest|GraftError)$/.test(by);
  assertNone(
    "no sentence",
    read.filter((m) => isWhole(m) && !/([.?…]|\{\d\})["”)]?$/.test(m.text.trim())),
  );
  assertNone(
    "begins small",
    read.filter(
      (m) => isWhole(m) && /^[a-z]/.test(m.text) && !/^[a-z]\w*[A-Z_]|^(density|seed|threshold|mitigation)\b|extension\/cli\//.test(`${m.text} ${m.at}`), // prettier-ignore
    ),
  );
  assertNone(
    "what to do is a sentence",
    read.filter(({ remedy }) => remedy !== null && /^[a-z]/.test(remedy)),
  );
});

test("places of a message are numbered from 0 without a gap", () => {
  assertNone(
    "gap",
    read.filter(({ text }) => {
      const places = new Set([...text.matchAll(/\{(\d)\}/g)].map(([, at]) => Number(at)));
      return [...places].some((at) => at >= places.size);
    }),
  );
});

test("the walk reads literals, texts that are asked for, templates, choices and constants", () => {
  const code = `
    const text = ok ? t("One {0}.", x) : "Two.";
    throw badFile(file, \`is \${size} long\`, t("Do it."));
    throw new HostError("misfit", text);
    void vscode.window.showErrorMessage(vscode.l10n.t("Three"), action);
  `;
  assert.deepEqual(
    messagesOf("x.ts", code).map(({ by, text, remedy, hasAction }) => [
      by,
      text,
      remedy,
      hasAction,
    ]),
    [
      ["badFile", "is {0} long", "Do it.", false],
      ["HostError", "One {0}.", null, false],
      ["HostError", "Two.", null, false],
      ["showErrorMessage", "Three", null, true],
    ],
  );
});

test("the factories add what to do where a statement says only what is wrong", () => {
  const { badFile, notFound, unsupported, misfit, badRequest } = errors;
  for (const [error, expected] of [
    [badFile("a.json", "is empty"), "a.json: is empty. Correct the file, or get it again from where it came."], // prettier-ignore
    [badFile("a.json", "is empty", "Fill it."), "a.json: is empty. Fill it."],
    [notFound("File", "a"), "File not found: a. Check the name and the place."],
    [unsupported("It rotates"), "It rotates. Choose another adapter, base or setting."],
    [unsupported("It rotates", "Turn it."), "It rotates. Turn it."],
    [misfit("No place."), "No place. Choose the base that the adapter was made for."],
    [badRequest("It is 7; it must be 8."), "It is 7; it must be 8."],
    [badRequest("It is 7."), "It is 7. Change that and try again."],
  ] as [GraftError, string][]) {
    assert.equal(error.message, expected);
  }
});

const folder = await temporaryFolder({ after });
const service = createService();
const context = { emit: () => undefined, signal: new AbortController().signal };

async function file(name: string, content: string): Promise<string> {
  const at = path.join(folder, name);
  await mkdir(path.dirname(at), { recursive: true });
  await writeFile(at, content);
  return at;
}

function adapter(name: string, config: unknown): Promise<string> {
  const text = typeof config === "string" ? config : JSON.stringify(config);
  return file(`${name}/adapter_config.json`, text).then(path.dirname);
}

const base = path.join(sample, "base");
// prettier-ignore
/** What people do, and what they are told then: the code, and the words that help. */
const walk: [what: string, run: () => unknown, code: ErrorCode, says: RegExp][] = [
  ["opening a folder that is no adapter", async () => openAdapterCheckpoint(path.join(folder, "none")), "not-found", /none.*\. [A-Z]/s],
  ["a config that is no JSON", async () => readAdapterConfig(await adapter("text", "r = 8")), "bad-file", /adapter_config\.json: .*JSON.*Correct/s],
  ["a config without its method", async () => readAdapterConfig(await adapter("bare", {})), "bad-file", /peft_type/],
  ["a config with a rank of words", async () => openAdapterCheckpoint(await adapter("words", { peft_type: "LORA", r: "eight" })), "not-found", /weights/i],
  ["weights that were never fetched", async () => openWeightFile(await file("lfs.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"), "safetensors"), "bad-file", /git lfs pull/],
  ["weights that are a web page", async () => openWeightFile(await file("page.safetensors", "<html>"), "safetensors"), "bad-file", /web page.*Download/],
  ["weights that were cut short", async () => openWeightFile(await file("cut.safetensors", "\x40\0\0\0\0\0\0\0{}"), "safetensors"), "bad-file", /exceeds file size.*Correct/],
  ["a base that is not there", () => service.loadBaseModel({ path: path.join(folder, "nowhere") }, context), "not-found", /nowhere/],
  ["a folder without a model as a base", async () => service.loadBaseModel({ path: path.dirname(await file("empty/notes.txt", "x")) }, context), "not-found", /config\.json/],
  ["a family that Graft does not run", async () => {
    await file("mamba/model.safetensors", "\x02\0\0\0\0\0\0\0{}");
    const config = { model_type: "mamba", architectures: ["MambaForCausalLM"] };
    const at = await file("mamba/config.json", JSON.stringify(config));
    return service.loadBaseModel({ path: path.dirname(at) }, context);
  }, "unsupported", /mamba/],
  ["a config whose method is a number", async () => openAdapterCheckpoint(await adapter("method", { peft_type: 5 })), "bad-file", /peft_type.*It has to be text/],
  ["asking a base that is not loaded", () => service.modelStatus({ base }, context), "not-found", /not loaded\. Load it first/],
  ["an engine of another version", () => service.hello({ version: 0 }, context), "unsupported", /Reload the window/],
  ["precisions of a folder without a model", () => service.estimateLoad({ path: folder }, context), "not-found", /config\.json|weights/i],
  ["a table of a file that has gone", () => service.tensorTable({ path: path.join(folder, "gone.safetensors") }, context), "not-found", /gone\.safetensors.*moved or deleted/],
];

for (const [what, run, code, says] of walk) {
  test(`${what} is answered by ${code} and what to do`, async () => {
    await assert.rejects(
      async () => run(),
      (thrown: GraftError) => {
        assert.equal(thrown.code, code, thrown.message);
        assert.match(thrown.message, says);
        assert.doesNotMatch(thrown.message, /undefined|\[object|\{\d\}|TypeError/);
        return true;
      },
    );
  });
}
