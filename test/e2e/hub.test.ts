import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { HubServer } from "../support/hubServer.ts";
import { root, scenario, until, type VSCode } from "./harness.ts";

const sample = join(root, "media/sample");
const token = "hf_of_the_tests";
let hub: HubServer;

before(async () => {
  hub = await HubServer.start();
  hub.accounts.set(token, { name: "tester" });
  await hub.add("team/tiny", join(sample, "base"), { likes: 12, downloads: 3400 });
  await hub.add("team/tiny-pirate", adapterFiles(join(sample, "adapters/lora-pirate")), {
    likes: 5,
    downloads: 120,
  });
  // Trained on another base, whatever its card says.
  const strange = join(root, "test/golden/fixtures/adapters/llama/lora_default");
  await hub.add("team/tiny-stranger", adapterFiles(strange), { likes: 1 });
});
after(() => hub.close());

/** An adapter's files with a card that says which base it is for. */
function adapterFiles(folder: string): Record<string, Uint8Array | string> {
  const files = Object.fromEntries(
    readdirSync(folder)
      .filter((name) => name.startsWith("adapter_"))
      .map((name) => [name, readFileSync(join(folder, name))] as const),
  );
  const card = [
    "---",
    "library_name: peft",
    "license: apache-2.0",
    "base_model: team/tiny",
    "tags:",
    "- base_model:adapter:team/tiny",
    "- lora",
    "---",
  ];
  return { ...files, "README.md": `${card.join("\n")}\n` };
}

const environment = (): Record<string, string> => ({
  HF_ENDPOINT: hub.url,
  HF_TOKEN: "",
  HF_HUB_OFFLINE: "",
});
const options = { environment };

async function loadById(vscode: VSCode, id: string): Promise<void> {
  await vscode.runCommand("Graft: Load from the Hub by Id…");
  await vscode.answer(id);
}

function snapshots(vscode: VSCode, id: string): string[] {
  const folder = join(vscode.folders.huggingFace, "hub", `models--${id.replace("/", "--")}`);
  const names = existsSync(join(folder, "snapshots")) ? readdirSync(join(folder, "snapshots")) : [];
  return names.filter((name) => existsSync(join(folder, "snapshots", name, "model.safetensors")));
}

scenario(
  "a base comes from the Hub, stopped in the middle and resumed",
  options,
  async (vscode) => {
    hub.reset();
    hub.fail({ at: /./, where: "cdn", bytesPerSecond: 250_000 });
    await vscode.openGraft();
    await loadById(vscode, "team/tiny");
    const toast = await vscode.notification(/Downloading team\/tiny/);
    await until("progress is said in bytes", async () =>
      /\d of 5\.\d MB/.test(await toast.innerText()),
    );
    await vscode.screenshot("60 hub download");
    await toast.locator(".monaco-button", { hasText: "Cancel" }).click();
    await toast.waitFor({ state: "hidden" });
    assert.deepEqual(snapshots(vscode, "team/tiny"), [], "half a file looks whole");

    hub.reset();
    await loadById(vscode, "team/tiny");
    await until("the base is loaded", async () => /tiny/.test(await vscode.statusBarText()));
    const resumed = hub.requests.some(({ headers }) =>
      /^bytes=[1-9]\d*-/.test(headers.range ?? ""),
    );
    assert.ok(resumed, "the rest was asked for, not the whole");
    assert.equal(snapshots(vscode, "team/tiny").length, 1);
    await vscode.treeRow("Base Models", "tiny").waitFor();
    await vscode.screenshot("61 hub base loaded");
  },
);

scenario(
  "an adapter is found that fits; one that does not stays where it is",
  options,
  async (vscode) => {
    await vscode.openGraft();
    await loadById(vscode, "team/tiny");
    await until("the base is loaded", async () => /tiny/.test(await vscode.statusBarText()));
    await vscode.runCommand("Graft: Search the Hub…");
    await until("adapters of this base are found", async () =>
      (await vscode.picks()).some((row) => row.includes("tiny-pirate") && row.includes("LoRA r 8")),
    );
    await vscode.screenshot("62 hub search");
    await vscode.pick("team/tiny-pirate");
    await until("the adapter is active", async () =>
      /tiny \+ .*pirate/.test(await vscode.statusBarText()),
    );
    await vscode.screenshot("63 hub adapter active");

    hub.reset();
    await loadById(vscode, "team/tiny-stranger");
    await vscode.notification(/team\/tiny-stranger does not fit .*Nothing was downloaded/);
    await vscode.screenshot("64 hub misfit");
    const fetched = hub.requests.filter(({ path }) => path.includes("adapter_model"));
    const whole = hub.objects.size > 0 ? strangerSize() : 0;
    assert.ok(fetched.every(({ method, headers }) => method === "HEAD" || headers.range));
    assert.ok(
      fetched.reduce((sum, { sent }) => sum + sent, 0) < whole / 2,
      "headers alone were read",
    );
  },
);

function strangerSize(): number {
  const repo = hub.repos.get("team/tiny-stranger");
  const [commit] = [...(repo?.commits.values() ?? [])];
  return commit?.files.get("adapter_model.safetensors")?.bytes.length ?? 0;
}

scenario("an adapter is pushed in one commit, after a summary", options, async (vscode) => {
  await vscode.openGraft();
  await vscode.activate("Adapters", "lora-pirate");
  await vscode.runCommand("Graft: Push Adapter to the Hub…");
  await vscode.pick("lora-pirate");
  // Nobody is signed in: the token is asked for first.
  await vscode.answer(token);
  await vscode.notification("Signed in to Hugging Face as tester");
  await vscode.answer("tester/sample-pirate");
  await vscode.pick("Private");
  const dialog = vscode.page.locator(".monaco-dialog-box", { hasText: "tester/sample-pirate" });
  await dialog.waitFor();
  assert.match(await dialog.innerText(), /private/);
  assert.match(await dialog.innerText(), /adapter_model\.safetensors/);
  assert.equal(hub.repos.has("tester/sample-pirate"), false, "nothing has left yet");
  await vscode.screenshot("65 push summary");
  await dialog.locator(".monaco-button", { hasText: "Push" }).click();
  await vscode.notification(/lora-pirate pushed to tester\/sample-pirate/);
  await vscode.screenshot("66 pushed");
  const repo = hub.repos.get("tester/sample-pirate");
  assert.ok(repo?.isPrivate);
  const made = [...repo.commits.values()].filter(({ files }) => files.size > 0);
  const last = made.at(-1);
  assert.ok(last?.files.has("adapter_config.json"));
  assert.ok(last?.files.has("README.md"));
  const pushed = last?.files.get("adapter_model.safetensors")?.bytes;
  const own = readFileSync(join(sample, "adapters/lora-pirate/adapter_model.safetensors"));
  assert.ok(pushed?.equals(own));
  const leaked = hub.requests.filter(
    ({ where, headers }) => where === "cdn" && headers.authorization,
  );
  assert.deepEqual(leaked, [], "the token went to the Hub alone");
});
