import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { TokenStore } from "../../../../../extension/core/train/data/tokenStore.ts";

test("what memory should not hold is in a file, reads the same, and is gone in the end", () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), "graft-store-"));
  const store = new TokenStore(folder, 300_000);
  const lists = Array.from({ length: 9 }, (_, i) =>
    Int32Array.from({ length: 90_001 + i }, (__, j) => (j % 2 ? j * i : ~j)),
  );
  lists.forEach((list) => store.add(list));
  // Where a system lets open files go, nothing is left behind by a process that is killed.
  assert.equal(readdirSync(folder).length, process.platform === "win32" ? 1 : 0);
  for (const [i, list] of lists.entries()) assert.deepEqual(store.read(i), list);
  store.dispose();
  assert.deepEqual(readdirSync(folder), []);
  rmSync(folder, { recursive: true });
});
