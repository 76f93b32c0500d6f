import {
  type Edit,
  findNodeAtLocation,
  type FormattingOptions,
  type JSONPath,
  modify,
  parseTree,
} from "jsonc-parser";
import type { Fix } from "./problem.ts";

/** The edits of a fix; the rest of the file stays as it is written. None for a fix that is a command. */
export function editsOf(fix: Fix, text: string): Edit[] {
  const formattingOptions = formattingOf(text);
  switch (fix.kind) {
    case "set":
      return modify(text, [...fix.path], fix.value, { formattingOptions });
    case "remove":
      return removal(text, [...fix.path], formattingOptions);
    case "rename": {
      const root = parseTree(text);
      const property = root && findNodeAtLocation(root, [...fix.path])?.parent;
      const key = property?.type === "property" ? property.children?.[0] : undefined;
      if (!key) return [];
      return [{ offset: key.offset, length: key.length, content: JSON.stringify(fix.to) }];
    }
    case "open":
    case "command":
      return [];
    default:
      return fix satisfies never;
  }
}

function removal(text: string, path: JSONPath, formattingOptions: FormattingOptions): Edit[] {
  const root = parseTree(text);
  const parent = root && path.length > 1 && findNodeAtLocation(root, path.slice(0, -1));
  // What would be left is brackets around an empty line.
  if (parent && parent.children?.length === 1) {
    const content = parent.type === "array" ? "[]" : "{}";
    return [{ offset: parent.offset, length: parent.length, content }];
  }
  return modify(text, path, undefined, { formattingOptions });
}

/** Indentation and line ends as the file has them; what PEFT writes where it has none. */
function formattingOf(text: string): FormattingOptions {
  const indent = /^([ \t]+)"/m.exec(text)?.[1] ?? "  ";
  const insertSpaces = !indent.startsWith("\t");
  return {
    insertSpaces,
    tabSize: insertSpaces ? indent.length : 4,
    eol: text.includes("\r\n") ? "\r\n" : "\n",
  };
}
