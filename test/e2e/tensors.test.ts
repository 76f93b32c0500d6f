import assert from "node:assert/strict";
import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Frame } from "playwright-core";
import { root, scenario, until, type VSCode } from "./harness.ts";

/** 6 GB that take no room on disk: 12,000 tensors, and one of 4 GB. */
function writeSparse(file: string): void {
  const tensors: Record<string, unknown> = {};
  let at = 2 ** 32;
  tensors["lm_head.weight"] = { dtype: "BF16", shape: [262144, 8192], data_offsets: [0, at] };
  for (let i = 0; i < 12_000; i++, at += 2 ** 17) {
    const name = `model.layers.${Math.floor(i / 250)}.mlp.experts.${i % 250}.up_proj.weight`;
    tensors[name] = { dtype: "BF16", shape: [256, 256], data_offsets: [at, at + 2 ** 17] };
  }
  const header = Buffer.from(JSON.stringify(tensors));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(header.length));
  const handle = openSync(file, "w");
  writeSync(handle, Buffer.concat([prefix, header]));
  ftruncateSync(handle, 8 + header.length + at);
  closeSync(handle);
}

/** Opens a file by its name and waits for what its page shows. */
async function openTensors(vscode: VSCode, name: string, selector: string): Promise<Frame> {
  await until(`${name} opens`, async () => {
    await vscode.page.keyboard.press("Escape");
    await vscode.page.keyboard.press("Control+P");
    const input = vscode.quickInput().locator("input.input");
    await input.fill(name, { timeout: 3000 });
    await vscode.quickInput().locator(".monaco-list-row", { hasText: name }).first().click({ timeout: 3000 }); // prettier-ignore
    await vscode.page.locator(".tab.active", { hasText: name }).waitFor({ timeout: 5000 });
    return true;
  });
  return until(`${name} is shown`, async () => {
    for (const frame of vscode.page.frames()) {
      const heading = frame.locator("h1", { hasText: name });
      if ((await heading.count()) && (await frame.locator(selector).count())) return frame;
    }
    return undefined;
  });
}

scenario(
  "a base's tensors are listed, searched, measured and read",
  { workspace: join(root, "media/sample") },
  async (vscode) => {
    const page = await openTensors(vscode, "model.safetensors", ".tensor-row.tensor");
    assert.match(await page.locator("header .facts").innerText(), /38 tensors · 1\.3\sM values/);
    await page.locator("#tensor-grid").focus();
    await page.locator("#tensor-grid").press("q");
    await until("letters search", async () =>
      /\d+ of 38/.test(await page.locator(".list-head").innerText()),
    );
    await page.locator("#search input").fill("layers.0 q_proj");
    await page.locator("#search input").press("ArrowDown");
    await vscode.page.keyboard.press("Enter");
    await page.locator("#histogram svg").waitFor();
    const figures = await page.locator(".figures").innerText();
    assert.match(figures, /Min\s+−0\.\d+\s+Max\s+0\.\d+/);
    await until("values are read", async () =>
      /^−?\d/.test(await page.locator("#value-0-0").innerText()),
    );
    await page.locator("#values").focus();
    await page.locator("#values").press("Control+End");
    await until("the last value is shown", async () =>
      /\d/.test(await page.locator("#value-159-159").innerText()),
    );
    await page.locator("#search input").fill("");
    await vscode.screenshots("40 tensors");

    await page.locator("#group").click();
    await page.locator(".tensor-row.module").first().waitFor();
    assert.equal(await page.locator("#tensor-grid").getAttribute("role"), "treegrid");
  },
);

scenario(
  "a file of gigabytes opens at once, broken ones say what to do, changed ones are read anew",
  { workspace: { "notes.md": "tensors" }, trusted: false },
  async (vscode) => {
    const { workspace } = vscode.folders;
    writeSparse(join(workspace, "huge.safetensors"));
    const page = await openTensors(vscode, "huge.safetensors", ".tensor-row.tensor");
    assert.match(await page.locator("header .facts").innerText(), /12,001 tensors/);
    assert((await page.locator(".tensor-row.tensor").count()) < 120, "only rows in view exist");
    await page.locator("#tensor-grid").press("End");
    await page.locator("#tensor-12000").waitFor();
    await page.locator("#search input").fill("lm_head");
    await page.locator("#tensor-0").click();
    await page.locator("#compute").click();
    await page.locator("#cancel").click();
    await until("it was stopped", async () =>
      (await page.locator(".statistics").innerText()).includes("Stopped before"),
    );
    await vscode.screenshot("42 tensors of a huge file");

    writeFileSync(join(workspace, "pointer.safetensors"), "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 538090408\n"); // prettier-ignore
    const broken = await openTensors(vscode, "pointer.safetensors", ".notice.error");
    assert.match(await broken.locator(".notice").innerText(), /git-lfs pointer.*git lfs pull/s);
    await vscode.screenshot("43 tensors that are not there");
    const header = '{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(BigInt(header.length));
    const bytes = Buffer.from(Float32Array.of(1, 2).buffer);
    writeFileSync(join(workspace, "pointer.safetensors"), Buffer.concat([prefix, Buffer.from(header), bytes])); // prettier-ignore
    await broken.locator(".tensor-row.tensor").waitFor();
    assert.deepEqual(await vscode.notifications(), []);
  },
);
