// Another extension, as its author would write it. What it hears goes into a file that the test reads.
const { writeFileSync } = require("node:fs");
const path = require("node:path");
const vscode = require("vscode");

exports.activate = ({ subscriptions }) => {
  subscriptions.push(
    vscode.commands.registerCommand("graftClient.first", () => told("first", askFirst)),
    vscode.commands.registerCommand("graftClient.api", () => told("api", askApi)),
    vscode.commands.registerCommand("graftClient.chat", () => told("chat", askChat)),
  );
};

async function told(name, ask) {
  const result = await ask().catch((error) => ({ error: error.message, code: error.code }));
  const folder = vscode.workspace.workspaceFolders[0].uri.fsPath;
  writeFileSync(path.join(folder, `${name}.json`), JSON.stringify(result, null, 2));
}

/** Nothing is loaded: the model that is asked is, and stops when it is told to. */
async function askFirst() {
  const graft = await vscode.extensions.getExtension("graft.graft").activate();
  const early = await graft.countTokens("Hi").catch(({ code }) => code);
  await graft.list();
  const models = await vscode.lm.selectChatModels({ vendor: "graft" });
  const model = models.find(({ name }) => name === "slow");
  const messages = [vscode.LanguageModelChatMessage.User("Once upon a time")];
  const stop = new vscode.CancellationTokenSource();
  const modelOptions = { temperature: 0, maxTokens: 4096 };
  const response = await model.sendRequest(messages, { modelOptions }, stop.token);
  let pieces = 0;
  let ended = "by itself";
  const began = Date.now();
  try {
    for await (const _ of response.text) if (++pieces === 5) stop.cancel();
  } catch (error) {
    ended = `${error.name}: ${error.message}`;
  }
  const seconds = (Date.now() - began) / 1000;
  // Only an engine that has stopped answers the next one at once.
  const next = await model.sendRequest(messages, { modelOptions: { maxTokens: 4 } });
  const after = [];
  for await (const piece of next.text) after.push(piece);
  const names = models.map(({ name }) => name);
  return { early, names, pieces, ended, seconds, after: after.join("") };
}

async function askApi() {
  const graft = await vscode.extensions.getExtension("graft.graft").activate();
  const { bases, adapters } = await graft.list();
  const model = await graft.loadModel(bases.find(({ name }) => name === "graft-sample").path);
  const pirate = await graft.attachAdapter(
    adapters.find(({ name }) => name === "lora-pirate").path,
  );
  const messages = [{ role: "user", content: "What colour is the sky?" }];
  const pieces = [];
  const generation = graft.generate(messages, {
    adapters: [{ name: pirate.name }],
    temperature: 0,
  });
  for await (const piece of generation) pieces.push(piece);
  const answer = await generation.result;
  const plain = await graft.generate(messages, { adapters: [], temperature: 0, stop: [" blue"] })
    .result;
  const stopped = graft.generate(messages, { adapters: [], temperature: 1 });
  for await (const _ of stopped) break;
  const { finish } = await stopped.result;
  const json = await graft.generate(messages, {
    ...{ adapters: [], temperature: 0, maxNewTokens: 60 },
    jsonSchema: { type: "object", properties: { ok: { type: "boolean" } }, required: ["ok"] },
  }).result;
  const tokens = await graft.countTokens(messages);
  return {
    version: graft.version,
    model,
    pirate,
    pieces,
    answer,
    plain,
    finish,
    json,
    tokens,
  };
}

async function askChat() {
  const models = await vscode.lm.selectChatModels({ vendor: "graft" });
  const model = models.find(({ name }) => name.includes("lora-pirate"));
  const messages = [vscode.LanguageModelChatMessage.User("What colour is the sky?")];
  const response = await model.sendRequest(messages, { modelOptions: { temperature: 0 } });
  const pieces = [];
  for await (const piece of response.text) pieces.push(piece);
  const tokens = await model.countTokens("What colour is the sky?");
  const long = [vscode.LanguageModelChatMessage.User("sky ".repeat(600))];
  const tooLong = await model
    .sendRequest(long)
    .then(async ({ text }) => {
      for await (const _ of text);
      return "answered";
    })
    .catch(({ message }) => message);
  const about = models.map(({ id, name, family, maxInputTokens }) => ({
    id,
    name,
    family,
    maxInputTokens,
  }));
  return { models: about, pieces, tokens, tooLong };
}
