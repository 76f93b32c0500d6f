import * as vscode from "vscode";
import type { Span } from "./adapterConfig/document.ts";

/** A place of a text that may be older than the document by now. */
export function rangeIn(text: string, { offset, length }: Span): vscode.Range {
  return new vscode.Range(positionIn(text, offset), positionIn(text, offset + length));
}

function positionIn(text: string, offset: number): vscode.Position {
  const before = text.slice(0, offset).split(/\r\n|\n|\r/);
  return new vscode.Position(before.length - 1, before.at(-1)?.length ?? 0);
}
