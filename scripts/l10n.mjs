// Texts for people: `npm run l10n` writes media/l10n/bundle.l10n.json (English) from the sources and says
// what another language lacks or has too much; `npm run l10n -- --todo de` prints its missing texts as JSON.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import ts from "typescript";
import { filesUnder, parseArguments, readJson, root, runMain, say } from "./shared.mjs";

const folder = join(root, "media", "l10n");

/** How a text is asked for: `t` of @vscode/l10n, `vscode.l10n.t`. */
const askers = new Set(["t", "l10n.t", "vscode.l10n.t"]);

/** Calls that say something to a person, and which of their arguments do. */
const speakers = new Map(
  Object.entries({
    badFile: [1, 2],
    notFound: [0, 2],
    unsupported: [0, 1],
    misfit: [0],
    badRequest: [0],
    noMemory: [0, 1],
    unreachable: [0],
    HostError: [1],
    GraftError: [1],
    showErrorMessage: [0],
    showWarningMessage: [0],
    showInformationMessage: [0],
    setStatusBarMessage: [0],
  }),
);

/** Words that are said without being asked of a bundle: "file:line". */
export function collectLiterals() {
  const found = [];
  forEachCall((call, at) => {
    const name = call.expression.getText().split(".").at(-1);
    for (const index of speakers.get(name) ?? []) {
      const said = call.arguments?.[index];
      if (said && isSentence(said)) found.push(`${at}: ${said.getText().slice(0, 60)}`);
    }
  });
  return found;
}

/** A literal with at least two words of its own. */
function isSentence(node) {
  if (!ts.isStringLiteralLike(node) && !ts.isTemplateExpression(node)) return false;
  const own = ts.isTemplateExpression(node)
    ? [node.head, ...node.templateSpans.map(({ literal }) => literal)].map(({ text }) => text)
    : [node.text];
  return /[a-z]{2,} +[a-z]{2,}/i.test(own.join(" "));
}

/** Every text of the sources with the place that first has it, and calls whose text is no literal. */
export function collectTexts(files = speakingFiles()) {
  const texts = new Map();
  const unreadable = [];
  forEachCall((call, at) => {
    if (!askers.has(call.expression.getText())) return;
    const text = textOf(call.arguments[0]);
    if (text === undefined) unreadable.push(at);
    else if (!texts.has(text)) texts.set(text, at);
  }, files);
  return { texts, unreadable };
}

/** What speaks to people in an editor; the terminal speaks English. */
function speakingFiles() {
  return ["extension", "webview"]
    .flatMap((room) => filesUnder(join(root, room)))
    .map((path) => relative(root, path).split(sep).join("/"))
    .filter((file) => file.endsWith(".ts") && !file.startsWith("extension/cli/"));
}

/** Every call and `new` in files that are named from the root. */
function forEachCall(visit, files = speakingFiles()) {
  for (const file of files) {
    const content = readFileSync(join(root, file), "utf8");
    const source = ts.createSourceFile(file, content, ts.ScriptTarget.Latest, true);
    const walk = (node) => {
      if (ts.isCallExpression(node) || ts.isNewExpression(node)) {
        const { line } = source.getLineAndCharacterOfPosition(node.getStart());
        visit(node, `${file}:${line + 1}`);
      }
      ts.forEachChild(node, walk);
    };
    walk(source);
  }
}

/** A literal, several joined by +, or `{ message }`. */
function textOf(node) {
  if (!node) return undefined;
  if (ts.isStringLiteralLike(node)) return node.text;
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken) {
    const [left, right] = [textOf(node.left), textOf(node.right)];
    return left === undefined || right === undefined ? undefined : left + right;
  }
  if (!ts.isObjectLiteralExpression(node)) return undefined;
  const message = node.properties.find((each) => each.name?.getText() === "message");
  return message && ts.isPropertyAssignment(message) ? textOf(message.initializer) : undefined;
}

/** Languages that there are bundles of, besides English. */
export function languages() {
  const name = /^bundle\.l10n\.(.+)\.json$/;
  return readdirSync(folder).flatMap((file) => name.exec(file)?.[1] ?? []);
}

/** A language's texts: those of the code, and those of the manifest. */
export function translation(language) {
  return {
    code: readJson(join(folder, `bundle.l10n.${language}.json`)) ?? {},
    manifest: readJson(join(root, `package.nls.${language}.json`)) ?? {},
  };
}

/** `{0}` and `{name}` of a text, sorted; they must be the same in every language. */
export function placeholders(text) {
  return [...text.matchAll(/\{(\w+)\}/g)].map(([whole]) => whole).sort();
}

/** The English bundle as it should be. */
export function englishBundle(texts) {
  const sorted = [...texts.keys()].sort();
  return `${JSON.stringify(Object.fromEntries(sorted.map((text) => [text, text])), null, 2)}\n`;
}

export const englishPath = join(folder, "bundle.l10n.json");

async function main(args) {
  const { options } = parseArguments(args, ["todo"]);
  const { texts, unreadable } = collectTexts();
  const english = readJson(join(root, "package.nls.json"));
  if (options.todo) {
    const { code, manifest } = translation(options.todo);
    const lacks = (keys, known) => keys.filter((key) => known[key] === undefined);
    const missing = {
      code: Object.fromEntries(lacks([...texts.keys()], code).map((key) => [key, key])),
      manifest: Object.fromEntries(
        lacks(Object.keys(english), manifest).map((key) => [key, english[key]]),
      ),
    };
    console.log(JSON.stringify(missing, null, 2));
    return;
  }
  if (!existsSync(englishPath) || readFileSync(englishPath, "utf8") !== englishBundle(texts)) {
    writeFileSync(englishPath, englishBundle(texts));
    say("The English bundle was written anew.");
  }
  for (const at of unreadable) say(`${at}: its text is no literal, so no bundle can have it`);
  for (const language of languages()) {
    const { code, manifest } = translation(language);
    report(`${language}, code`, [...texts.keys()], Object.keys(code));
    report(`${language}, manifest`, Object.keys(english), Object.keys(manifest));
  }
  say(`${texts.size} texts.`);
}

function report(what, wanted, found) {
  const [lacks, extra] = [
    wanted.filter((key) => !found.includes(key)),
    found.filter((key) => !wanted.includes(key)),
  ];
  if (lacks.length > 0) say(`${what}: ${lacks.length} missing, ${JSON.stringify(lacks[0])} first`);
  if (extra.length > 0) say(`${what}: ${extra.length} unused, ${JSON.stringify(extra[0])} first`);
}

if (process.argv[1]?.endsWith("l10n.mjs")) await runMain(main);
