import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { t } from "@vscode/l10n";
import * as l10n from "../../scripts/l10n.mjs";

const { texts, unreadable } = l10n.collectTexts();
const english = JSON.parse(
  await readFile(new URL("../../package.nls.json", import.meta.url), "utf8"),
) as Record<string, string>;

function assertNone(what: string, found: string[]): void {
  assert.equal(found.length, 0, `${what}:\n${found.slice(0, 20).join("\n")}`);
}

test("every text is a literal, so that a bundle can have it", () => {
  assert(texts.size > 1000);
  assertNone("no literal (npm run l10n lists them)", unreadable);
});

test("nothing is said past the bundles", () => assertNone("literals", l10n.collectLiterals()));

test("the English bundle is what the sources say", async () => {
  const written = await readFile(l10n.englishPath, "utf8");
  assert.equal(written, l10n.englishBundle(texts), "run: npm run l10n");
});

test("there is one language besides English", () => assert(l10n.languages().includes("de")));

for (const language of l10n.languages()) {
  const { code, manifest } = l10n.translation(language);
  test(`${language} has every text, and no other`, () => {
    assertNone(
      "missing",
      [...texts.keys()].filter((key) => !code[key]),
    );
    assertNone(
      "unused",
      Object.keys(code).filter((key) => !texts.has(key)),
    );
    assertNone(
      "missing in the manifest",
      Object.keys(english).filter((key) => !manifest[key]),
    );
    assertNone(
      "unused in the manifest",
      Object.keys(manifest).filter((key) => !english[key]),
    );
  });

  test(`${language} fills the same places as English, and keeps its links`, () => {
    const odd = (from: string, to: string | undefined): boolean =>
      String(l10n.placeholders(from)) !== String(l10n.placeholders(to ?? ""));
    assertNone(
      "places",
      Object.entries(code).flatMap(([from, to]) => (odd(from, to) ? [from] : [])),
    );
    const links = (text = ""): string => String([...text.matchAll(/\(command:[^)]*\)/g)].sort());
    assertNone(
      "links",
      Object.entries(english).flatMap(([key, from]) =>
        links(from) === links(manifest[key]) ? [] : [key],
      ),
    );
  });
}

test("places in braces that are no arguments stay as they are", () => {
  assert.equal(t('keyMapping {"^": "x"} for {0}', "a"), 'keyMapping {"^": "x"} for a');
});
