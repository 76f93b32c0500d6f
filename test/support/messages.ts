/** Every message that the sources can give, read from their syntax: what a person may meet. */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = fileURLToPath(new URL("../../", import.meta.url));

export interface Message {
  /** "extension/core/x.ts:12" */
  at: string;
  /** The function that makes it: "badFile", "HostError", "showErrorMessage". */
  by: string;
  /** With {0} where something is filled in; null where the text is made elsewhere. */
  text: string | null;
  /** What to do, where it is given apart from the text. */
  remedy: string | null;
  /** Something can be clicked. */
  hasAction: boolean;
}

/** Where each maker has its text and what to do: positions of parameters. */
const makers: Record<string, { text: number; remedy?: number; actionsFrom?: number }> = {
  badFile: { text: 1, remedy: 2 },
  notFound: { text: 0, remedy: 2 },
  unsupported: { text: 0, remedy: 1 },
  noMemory: { text: 0, remedy: 1 },
  misfit: { text: 0 },
  badRequest: { text: 0 },
  unauthorized: { text: 0 },
  gated: { text: 0 },
  rateLimited: { text: 0 },
  unreachable: { text: 0 },
  wrongBytes: { text: 0 },
  diskFull: { text: 0 },
  notOnMachine: { text: 0 },
  GraftError: { text: 1 },
  HostError: { text: 1 },
  showErrorMessage: { text: 0, actionsFrom: 1 },
  showWarningMessage: { text: 0, actionsFrom: 1 },
  showInformationMessage: { text: 0, actionsFrom: 1 },
};

/** All of extension/ and webview/. */
export function collectMessages(): Message[] {
  return ["extension", "webview"].flatMap((room) =>
    readdirSync(join(root, room), { recursive: true })
      .map((name) => join(root, room, String(name)))
      .filter((path) => path.endsWith(".ts"))
      .flatMap((path) => messagesOf(relative(root, path), readFileSync(path, "utf8"))),
  );
}

export function messagesOf(file: string, text: string): Message[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const found: Message[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) || ts.isNewExpression(node)) found.push(...read(node, source));
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function read(call: ts.CallExpression | ts.NewExpression, source: ts.SourceFile): Message[] {
  const by = call.expression.getText().split(".").at(-1) ?? "";
  const maker = Object.hasOwn(makers, by) ? makers[by] : undefined;
  const args = call.arguments ?? [];
  const text = maker && args[maker.text];
  // The factories themselves build on each other.
  if (!maker || !text || source.fileName.endsWith("core/base/errors.ts")) return [];
  const { line } = source.getLineAndCharacterOfPosition(call.getStart());
  const remedy = maker.remedy === undefined ? undefined : args[maker.remedy];
  const texts = textsOf(text);
  const at = `${source.fileName}:${line + 1}`;
  const said = remedy ? (textsOf(remedy)[0] ?? "{remedy}") : null;
  const hasAction = maker.actionsFrom !== undefined && args.length > maker.actionsFrom;
  if (texts.length === 0) return [{ at, by, text: null, remedy: said, hasAction }];
  return texts.map((each) => ({ at, by, text: each, remedy: said, hasAction }));
}

/** The texts that an expression can be; none where they are made elsewhere. */
function textsOf(node: ts.Expression): string[] {
  if (ts.isStringLiteralLike(node)) return [node.text];
  if (ts.isParenthesizedExpression(node) || ts.isAsExpression(node))
    return textsOf(node.expression);
  if (ts.isConditionalExpression(node)) {
    return [...textsOf(node.whenTrue), ...textsOf(node.whenFalse)];
  }
  if (ts.isTemplateExpression(node)) {
    const parts = node.templateSpans.map((span, i) => `{${i}}${span.literal.text}`);
    return [node.head.text + parts.join("")];
  }
  if (ts.isBinaryExpression(node)) {
    const [left, right] = [textsOf(node.left)[0], textsOf(node.right)[0]];
    return left === undefined && right === undefined ? [] : [`${left ?? "{x}"}${right ?? "{x}"}`];
  }
  if (ts.isCallExpression(node) && /(^|\.)t$/.test(node.expression.getText())) {
    const [first] = node.arguments;
    return first ? textsOf(first) : [];
  }
  if (ts.isIdentifier(node)) return textsOf_(node);
  return [];
}

/** What a constant of the same function, or of the file, was set to. */
function textsOf_(name: ts.Identifier): string[] {
  for (let scope: ts.Node = name.parent; scope; scope = scope.parent) {
    if (!ts.isBlock(scope) && !ts.isSourceFile(scope)) continue;
    for (const statement of scope.statements) {
      if (!ts.isVariableStatement(statement)) continue;
      for (const { name: own, initializer } of statement.declarationList.declarations) {
        if (own.getText() === name.text && initializer) return textsOf(initializer);
      }
    }
  }
  return [];
}
