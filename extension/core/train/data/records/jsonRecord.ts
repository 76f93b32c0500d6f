import { t } from "@vscode/l10n";
import {
  findNodeAtLocation,
  type ParseError,
  parseTree,
  printParseErrorCode,
  type JSONPath,
} from "jsonc-parser";
import type { Place } from "../problems.ts";
import type { OnProblem, RawRecord } from "./record.ts";

/** Parses one JSON value of a file; what is wrong is told with its place. */
export function jsonRecord(text: string, at: Place, onProblem: OnProblem): RawRecord | null {
  try {
    const value = JSON.parse(text) as unknown;
    return {
      ...at,
      value,
      placeOf: (path) => {
        const tree = parseTree(text);
        const node = tree && findNodeAtLocation(tree, [...path] as JSONPath);
        return placeIn(text, at, node?.offset ?? 0);
      },
    };
  } catch {
    // JSON.parse names a place in some of its messages only.
    const errors: ParseError[] = [];
    parseTree(text, errors, { disallowComments: true, allowTrailingComma: false });
    const [first] = errors;
    onProblem(
      placeIn(text, at, first?.offset ?? 0),
      whatIsWrong(first && printParseErrorCode(first.error)),
    );
    return null;
  }
}

/** The place of an offset in a text that begins at `at`. */
function placeIn(text: string, at: Place, offset: number): Place {
  const before = text.slice(0, offset);
  const breaks = before.split("\n").length - 1;
  if (breaks === 0) return { line: at.line, column: at.column + offset };
  return { line: at.line + breaks, column: offset - before.lastIndexOf("\n") };
}

function whatIsWrong(code: string | undefined): string {
  switch (code) {
    case "CommaExpected":
      return t("This is no JSON: a comma is missing here.");
    case "ColonExpected":
      return t("This is no JSON: a colon is missing here.");
    case "PropertyNameExpected":
      return t("This is no JSON: a name in double quotes is expected here.");
    case "ValueExpected":
      return t("This is no JSON: a value is expected here.");
    case "CloseBraceExpected":
    case "CloseBracketExpected":
      return t("This is no JSON: it ends before its last bracket is closed.");
    case "UnexpectedEndOfString":
      return t("This is no JSON: the text that begins here has no closing quote.");
    case "EndOfFileExpected":
      return t("This is no JSON: something stands behind its end. Write one record a line.");
    case "InvalidCommentToken":
      return t("This is no JSON: it allows no comments.");
    default:
      return t("This is no JSON: something here does not belong.");
  }
}
