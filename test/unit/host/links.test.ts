import assert from "node:assert/strict";
import { test } from "node:test";
import { readLink, splitLink } from "../../../extension/links.ts";

const read = (query: string, platform: NodeJS.Platform = "linux", path = "/adapter") =>
  readLink({ path, query }, platform);

test("a link names a folder or a repository", () => {
  assert.deepEqual(read("path=%2Fhome%2Fme%2Fa%20b"), { kind: "path", path: "/home/me/a b" });
  assert.deepEqual(read("path=/a/x/../b/adapter_config.json"), { kind: "path", path: "/a/b" });
  const windows = { kind: "path", path: "C:\\models\\a" };
  assert.deepEqual(read("path=C%3A%5Cmodels%5Ca", "win32"), windows);
  assert.deepEqual(read("id=owner/name"), { kind: "hub", id: "owner/name" });
  const at = { kind: "hub", id: "owner/na.me-2", revision: "refs/pr/1" };
  assert.deepEqual(read("id=owner%2Fna.me-2&revision=refs/pr/1"), at);
});

test("whatever is odd is refused, with the reason", () => {
  for (const [query, reason] of [
    ["", /either path or id/],
    ["path=/a&id=o/n", /either path or id/],
    ["path=a/b", /not absolute/],
    ["path=~/a", /not absolute/],
    ["path=//server/share", /another machine/],
    ["path=/a%00b", /control characters/],
    ["path=/a%0Ab", /control characters/],
    ["path=/a&path=/b", /path twice/],
    ["id=name", /not owner\/name/],
    ["id=../../etc", /not owner\/name/],
    ["id=owner/..", /not owner\/name/],
    ["id=https://evil.example/x", /not owner\/name/],
    ["id=o/n@main", /not owner\/name/],
    ["id=o/n&revision=../x", /no branch or commit/],
    ["id=o/n&revision=", /no branch or commit/],
    ["id=o/n&endpoint=https://evil.example", /"endpoint", which Graft does not know/],
    ["id=o/n&%F0%9F%92%A3=1", /"\?+", which/],
    [`path=/${"a".repeat(3000)}`, /longer than/],
  ] as const) {
    const link = read(query);
    assert.equal(link.kind, "refused", query);
    assert.match(link.kind === "refused" ? link.reason : "", reason, query);
  }
  assert.equal(read("path=%5C%5Cserver%5Cshare", "win32").kind, "refused");
  assert.equal(read("path=/a", "linux", "/run").kind, "refused");
});

test("a link's text is taken apart, of any editor", () => {
  const parts = { path: "/adapter", query: "id=o/n" };
  assert.deepEqual(splitLink(" vscode://graft.graft/adapter?id=o/n#x "), parts);
  assert.deepEqual(splitLink("vscode-insiders://graft.graft/adapter?id=o/n"), parts);
  for (const text of [
    "owner/name",
    "https://evil.example/adapter",
    "vscode://other.graft/adapter",
  ]) {
    assert.equal(splitLink(text), undefined, text);
  }
});
