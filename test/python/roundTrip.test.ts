import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { asGraftError } from "../../extension/core/base/errors.ts";
import { bitsOf, type Dtype } from "../../extension/core/base/dtype.ts";
import { namedTypes, storageTypes } from "../../extension/core/checkpoint/torchDtypes.ts";
import { writeTorchFile } from "../../extension/core/checkpoint/writeTorchFile.ts";
import { adapterFolder, expectedOf, taskIds } from "../golden/adapterCase.ts";
import { Bases } from "../golden/models.ts";

/** An adapter as Graft saved it, for roundTrip.py. */
interface Case {
  id: string;
  /** Relative to the root. */
  model: string;
  original: string;
  saved: string;
  expected: string;
  task_ids?: number[] | undefined;
}

type Result =
  | { id: string; error: string }
  | { id: string; original_error: string; saved_error: string }
  | { id: string; types: Record<string, [string, number[]]> }
  | {
      id: string;
      warnings: string[];
      to_original: number;
      to_recorded: number;
      original_to_recorded: number;
    };

const run = promisify(execFile);
const here = import.meta.dirname;
/** GRAFT_GOLDEN names another folder that is laid out like the fixtures. */
const root = path.resolve(process.env["GRAFT_GOLDEN"] ?? path.join(here, "../golden/fixtures"));
const python = process.env["GRAFT_PYTHON"] ?? "python3";
const tolerance = 1e-4;

/** Why Python PEFT cannot be asked here, or false. */
async function missingPeft(): Promise<string | false> {
  const imports = "import peft, torch, transformers, safetensors; print(peft.__version__)";
  const found = await run(python, ["-c", imports]).catch(() => null);
  if (found?.stdout.trim() === "0.21.0") return false;
  const have = found ? `has PEFT ${found.stdout.trim()}` : "cannot import peft";
  return (
    `${python} ${have}. In a virtual environment: ` +
    "pip install torch==2.13.0 transformers==5.18.0 peft==0.21.0, and GRAFT_PYTHON=<its python>"
  );
}

function foldersIn(parent: string): string[] {
  if (!existsSync(parent)) return [];
  const entries = readdirSync(parent, { withFileTypes: true });
  // A case may be a link to a folder elsewhere.
  return entries.filter((each) => !each.isFile()).map(({ name }) => path.join(parent, name));
}

/** Loads and saves every adapter of the root that Graft runs; the first of each method as .bin too. */
async function saveAll(scratch: string): Promise<{ cases: Case[]; refused: string[] }> {
  const bases = new Bases(root);
  const cases: Case[] = [];
  const refused: string[] = [];
  const methods = new Set<string>();
  for (const folder of foldersIn(path.join(root, "adapters")).flatMap(foldersIn)) {
    const expected = expectedOf(folder);
    const id = path.relative(path.join(root, "adapters"), folder);
    const original = adapterFolder(folder);
    try {
      const model = await bases.model(expected.model);
      const { name } = await model.loadAdapter(original);
      const formats = methods.has(expected.peft_type) ? ["safetensors"] : ["safetensors", "bin"];
      methods.add(expected.peft_type);
      for (const format of formats) {
        const saved = path.join(scratch, format, id);
        await model.saveAdapter(name, saved, { safeSerialization: format === "safetensors" });
        const truth = path.join(folder, "expected.safetensors");
        cases.push({
          ...{ id: `${id} as ${format}`, model: expected.model, original, saved },
          ...{ expected: truth, task_ids: taskIds(expected) },
        });
      }
    } catch (error) {
      const { code, message } = asGraftError(error);
      if (code !== "unsupported") throw error;
      refused.push(`${id}: ${message}`);
    }
  }
  await bases.dispose();
  return { cases, refused };
}

/** A .bin with a tensor of every element type that torch can store. */
async function writeTypes(file: string): Promise<Map<string, Dtype>> {
  const names = new Map(
    (Object.keys({ ...storageTypes, ...namedTypes }) as Dtype[]).map((dtype) => [
      `of ${dtype}`,
      dtype,
    ]),
  );
  const tensors = [...names].map(([name, dtype]) => {
    const bytes = new Uint8Array((6 * bitsOf(dtype)) / 8);
    return { name, dtype, shape: [2, 3], bytes };
  });
  await writeTorchFile(file, tensors);
  return names;
}

function verdict(result: Result | undefined): string | null {
  if (!result) return "Python said nothing about it";
  if ("error" in result) return result.error;
  if ("types" in result) return null;
  if ("original_error" in result) {
    const { original_error: own, saved_error: error } = result;
    return own === error ? null : `PEFT says of its own file "${own}", of Graft's "${error}"`;
  }
  if (result.warnings.length > 0) return `PEFT warns: ${result.warnings.join(" ")}`;
  if (result.to_original > 0) return `logits are ${result.to_original} from the original's`;
  // What PEFT cannot repeat with its own file is no measure.
  if (result.original_to_recorded > tolerance || result.to_recorded <= tolerance) return null;
  return `logits are ${result.to_recorded} from the recorded ones`;
}

void test("Python PEFT reads what Graft saves", async (t) => {
  const scratch = await realpath(await mkdtemp(path.join(tmpdir(), "graft-python-")));
  t.after(() => rm(scratch, { recursive: true, force: true }));
  const { cases, refused } = await saveAll(scratch);
  const tensors = path.join(scratch, "types.bin");
  const types = await writeTypes(tensors);
  for (const each of refused) t.diagnostic(`not run by Graft: ${each}`);
  await t.test(`Graft saves ${cases.length} adapters`, () => assert(cases.length > 0));
  const skip = await missingPeft();
  if (skip !== false) return void (await t.test("PEFT loads them", { skip }, () => undefined));
  const plan = path.join(scratch, "plan.json");
  await writeFile(plan, JSON.stringify({ root, cases, tensors }));
  const script = path.join(here, "roundTrip.py");
  const options = { maxBuffer: 2 ** 26, env: { ...process.env, HF_HUB_OFFLINE: "1" } };
  const { stdout } = await run(python, [script, plan], options);
  const lines = stdout.split("\n").filter((line) => line.startsWith("{"));
  // Python writes Infinity bare.
  const results = lines.map(
    (line) => JSON.parse(line.replaceAll(/: Infinity/g, ": 1e999")) as Result,
  );
  for (const { id } of cases) {
    await t.test(id, () => {
      assert.equal(verdict(results.find((each) => each.id === id)), null);
    });
  }
  await t.test(`torch reads ${types.size} element types`, () => {
    const read = results.filter((each) => "types" in each);
    assert.equal(read.length, 2);
    for (const { types: found } of read) {
      assert.deepEqual(Object.keys(found), [...types.keys()]);
      for (const [dtype, shape] of Object.values(found)) {
        assert.match(dtype, /^torch\.\w+$/);
        assert.deepEqual(shape, [2, 3]);
      }
    }
  });
  const closeness = results.flatMap((each) => ("to_recorded" in each ? [each] : []));
  for (const each of results.filter((result) => "original_error" in result)) {
    t.diagnostic(`PEFT does not load its own: ${each.id}: ${each.original_error.slice(0, 160)}`);
  }
  const exact = closeness.filter((each) => each.original_to_recorded <= tolerance);
  const worst = Math.max(0, ...exact.map((each) => each.to_recorded));
  t.diagnostic(`${closeness.length} cases read, ${exact.length} compared with recorded logits`);
  t.diagnostic(`largest difference ${worst.toExponential(1)}`);
});
