import assert from "node:assert/strict";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { fileURLToPath } from "node:url";
import { type ErrorCode, GraftError } from "../../../extension/core/base/errors.ts";

export const root = fileURLToPath(new URL("../../../", import.meta.url));
/** Tiny models and adapters with answers from Python PEFT. */
export const fixtures = path.join(root, "test/golden/fixtures");
/** The sample that ships: one base and five adapters. */
export const sample = path.join(root, "media/sample");

/** A folder that is gone when the test ends; its real path. */
export async function temporaryFolder(t: {
  after(end: () => Promise<void>): void;
}): Promise<string> {
  const folder = await realpath(await mkdtemp(path.join(tmpdir(), "graft-unit-")));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** For `assert.throws` and `assert.rejects`: a named error that says all of these. */
export function failure(code: ErrorCode, ...fragments: string[]): (thrown: unknown) => true {
  return (thrown) => {
    assert(thrown instanceof GraftError, `not a named error: ${String(thrown)}`);
    assert.equal(thrown.code, code, thrown.message);
    for (const fragment of fragments) {
      assert(thrown.message.includes(fragment), `"${fragment}" is missing in "${thrown.message}"`);
    }
    return true;
  };
}

/** The largest absolute difference; Infinity when lengths differ or a value is no number. */
export function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    const own = Math.abs((a[i] as number) - (b[i] as number));
    if (!(own <= largest)) largest = Number.isNaN(own) ? Infinity : own;
  }
  return largest;
}
