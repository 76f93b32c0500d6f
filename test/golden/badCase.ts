import { createHash } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import * as path from "node:path";
import { asGraftError, type GraftError } from "../../extension/core/base/errors.ts";
import type { PeftModel } from "../../extension/core/peftModel.ts";
import { allLogits, type Bases } from "./models.ts";
import { expect, Skip } from "./outcome.ts";
import { readJson } from "./truth.ts";

interface PeftSays {
  peft: "loads" | "error";
  note?: string | null;
  warnings?: string[];
}

/** Cases that are valid although they stand among the bad ones. */
const valid = new Set(["header_padded_with_spaces", "pickle_malicious_and_safetensors", "_good"]);

/**
 * One folder of bad/<case>: at least as strict as PEFT. What PEFT refuses is refused by a named
 * error; what PEFT loads in silence ends in an error or a warning, unless it is harmless. Either way
 * nothing is written, nothing of the file is run, and an adapter that is loaded stays as it is.
 */
export async function checkBadCase(folder: string, bases: Bases): Promise<string> {
  const file = path.join(folder, "peft.json");
  const says: PeftSays = existsSync(file) ? readJson<PeftSays>(file) : { peft: "loads" };
  const model = await bases.model("models/llama");
  const untouched = await watch(model, { folder, says });
  const outcome = await model.loadAdapter(folder, { adapterName: "bad" }).then(
    (adapter) => ({ error: null, warnings: adapter.warnings }),
    (error: unknown) => ({ error: asGraftError(error), warnings: [] }),
  );
  await untouched(outcome.error === null ? ["bad"] : []);
  return judge(folder, says, outcome);
}

function judge(
  folder: string,
  says: PeftSays,
  { error, warnings }: { error: GraftError | null; warnings: readonly string[] },
): string {
  if (valid.has(path.basename(folder))) {
    expect(error === null, `refused although it is valid: ${error?.message}`);
    return "loads";
  }
  if (error === null) {
    expect(says.peft === "loads", "PEFT refuses it, Graft loads it");
    expect((says.warnings ?? []).length === 0 || warnings.length > 0, "PEFT warns, Graft does not");
    return `loads; ${warnings.join(" ") || "no warning"}`;
  }
  expect(error.code !== "internal", `not a named error: ${error.message}`);
  expect(error.message.includes(path.basename(folder)), `does not say where: ${error.message}`);
  if (error.code === "unsupported" && says.peft === "loads") throw new Skip(error.message);
  return error.message.replaceAll(`${folder}${path.sep}`, "");
}

/**
 * Loads the good adapter beside the case and remembers what must not change.
 * @returns a check of all that, given the adapters that are to be loaded beside it by then
 */
async function watch(
  model: PeftModel,
  { folder, says }: { folder: string; says: PeftSays },
): Promise<(names: readonly string[]) => Promise<void>> {
  const good = path.join(folder, "../_good");
  if (!existsSync(good)) throw new Error(`${good}, the adapter that must stay, is missing`);
  await model.loadAdapter(good, { adapterName: "good" });
  model.setAdapter("good");
  const ids = [Array.from({ length: 12 }, (_, i) => (7 * i + 7) % 128)];
  const logits = (): Promise<Float32Array> => {
    const active = model.inputsOf([{ name: "good", weight: 1 }]);
    return allLogits(model, active, { ids, mask: ids.map((row) => row.map(() => 1)) });
  };
  const watched = [folder, path.join(folder, ".."), model.base.checkpoint.dir];
  const files = (): string => watched.map((each) => fingerprint(each, each === folder)).join("\n");
  // What the malicious cases would leave behind: their note says where.
  const traces = [
    "/tmp/pwned-test",
    ...(/would create (\S+)/.exec(says.note ?? "")?.slice(1) ?? []),
  ];
  const there = (): string => traces.filter((trace) => existsSync(trace)).join();
  const [filesBefore, thereBefore, logitsBefore] = [files(), there(), await logits()];
  return async (names) => {
    const loaded = model.adapters.map(({ name }) => name).join();
    expect(loaded === ["good", ...names].join(), `what is loaded: ${loaded}`);
    const [active] = model.activeAdapters;
    expect(active?.name === "good" && active.weight === 1, "another adapter is active");
    expect(files() === filesBefore, "a file was written");
    expect(there() === thereBefore, "code of the file was run");
    const after = await logits();
    expect(
      after.every((value, i) => value === logitsBefore[i]),
      "the good adapter answers differently",
    );
  };
}

/** Names and sizes of a folder's files, and with `deep` their content. */
function fingerprint(folder: string, deep: boolean): string {
  return readdirSync(folder)
    .sort()
    .map((name) => {
      const file = path.join(folder, name);
      const { size, mtimeMs } = lstatSync(file);
      const isContent = deep && lstatSync(file).isFile();
      const content = isContent
        ? createHash("sha256").update(readFileSync(file)).digest("hex")
        : "";
      return [file, size, mtimeMs, content].join(" ");
    })
    .join("\n");
}
