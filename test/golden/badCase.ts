import { existsSync } from "node:fs";
import * as path from "node:path";
import { asGraftError } from "../../extension/core/base/errors.ts";
import type { Bases } from "./models.ts";
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
 * error; what PEFT loads in silence ends in an error or a warning, unless it is harmless.
 */
export async function checkBadCase(folder: string, bases: Bases): Promise<string> {
  const file = path.join(folder, "peft.json");
  const says: PeftSays = existsSync(file) ? readJson<PeftSays>(file) : { peft: "loads" };
  const model = await bases.model("models/llama");
  const outcome = await model.loadAdapter(folder, { adapterName: "bad" }).then(
    (adapter) => ({ error: null, warnings: adapter.warnings }),
    (error: unknown) => ({ error: asGraftError(error), warnings: [] }),
  );
  const { error, warnings } = outcome;
  if (valid.has(path.basename(folder))) {
    expect(error === null, `refused although it is valid: ${error?.message}`);
    return "loads";
  }
  if (error === null) {
    expect(says.peft === "loads", "PEFT refuses it, Graft loads it");
    expect((says.warnings ?? []).length === 0 || warnings.length > 0, "PEFT warns, Graft does not");
    return `loads; ${warnings.join(" ") || "no warning"}`;
  }
  expect(model.adapters.length === 0, "a refused adapter is loaded");
  expect(error.code !== "internal", `not a named error: ${error.message}`);
  expect(error.message.includes(path.basename(folder)), `does not say where: ${error.message}`);
  if (error.code === "unsupported" && says.peft === "loads") throw new Skip(error.message);
  return error.message.replaceAll(`${folder}${path.sep}`, "");
}
