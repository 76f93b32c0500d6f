import { t } from "@vscode/l10n";
import { GraftError } from "../base/errors.ts";

/** Where a pattern stands, for messages. */
export interface PatternPlace {
  readonly field: string;
  readonly file: string;
}

/**
 * Compiles a Python regular expression (https://docs.python.org/3/library/re.html); what the two
 * dialects spell otherwise is translated, what Python refuses is refused.
 * @param source the pattern itself; flags stand at its start alone, as Python wants it
 * @param wrap puts the pattern's translation into a larger one
 */
export function pythonRegex(
  source: string,
  place: PatternPlace,
  { wrap = (pattern) => pattern, flags = "" }: { wrap?: Wrap; flags?: string } = {},
): RegExp {
  const given = /^\(\?([aimsux]+)\)/.exec(source);
  const inline = given?.[1] ?? "";
  const body = source.slice(given?.[0].length ?? 0);
  try {
    const pattern = wrap(translate(body, inline.includes("x")));
    const own = [...new Set(inline.replace(/[^ims]/g, "") + flags)].join("");
    return new RegExp(pattern, own);
  } catch (error) {
    const { field, file } = place;
    throw new GraftError(
      "bad-file",
      t(
        '{0}: field "{1}" holds no valid regular expression ({2}).',
        file,
        field,
        (error as Error).message,
      ),
      { file, field },
    );
  }
}

type Wrap = (pattern: string) => string;

/** Letters that mean something after a backslash; Python refuses the others. */
const escapes = /[abBdDfnrsStuUvwWxAZ]/;

const spelledOtherwise: Readonly<Record<string, string>> = {
  "\\A": "(?<![^])",
  "\\Z": "(?![^])",
  "\\a": "\\x07",
};

/** One token a turn: an escape, a class, a group's start, a count, or one character. */
const token =
  /\\[^]|\[\^?\]?(?:\\[^]|[^\]\\])*\]|\(\?(?:P<\w+>|P=\w+\)|#[^)]*\)|[a-zA-Z-]+[:)]|<?[=!:])?|\{,\d+\}|[^]/g;

function translate(source: string, isVerbose: boolean): string {
  const text = isVerbose ? withoutComments(source) : source;
  return text.replace(token, (part) => {
    if (part.startsWith("\\")) return escape(part);
    if (part.startsWith("[")) return part.replace(/^(\[\^?)\]/, "$1\\]").replace(/\\a/g, "\\x07");
    if (part.startsWith("(?P<")) return `(?<${part.slice(4)}`;
    if (part.startsWith("(?P=")) return `\\k<${part.slice(4, -1)}>`;
    if (part.startsWith("(?#")) return "";
    if (/^\(\?[a-zA-Z-]+\)$/.test(part)) throw new Error("flags are not at its start");
    if (part === "(?") throw new Error("unknown kind of group");
    return part.startsWith("{,") ? `{0${part.slice(1)}` : part;
  });
}

function escape(part: string): string {
  if (/[a-zA-Z]/.test(part[1] as string) && !escapes.test(part[1] as string)) {
    throw new Error(`bad escape ${part}`);
  }
  return spelledOtherwise[part] ?? part;
}

/** (?x): spaces and comments outside of classes mean nothing. */
function withoutComments(source: string): string {
  return source.replace(/\\[^]|\[\^?\]?(?:\\[^]|[^\]\\])*\]|\s+|#.*/g, (part) =>
    /^[\s#]/.test(part) ? "" : part,
  );
}

/**
 * Python's `re.subn`: every match is replaced by the template, in which \1, \g<1> and \g<name> stand
 * for groups.
 * @returns the new text and how many matches there were
 */
export function substitute(
  pattern: RegExp,
  template: string,
  text: string,
): { text: string; count: number } {
  let count = 0;
  const replaced = text.replace(pattern, (...match: unknown[]) => {
    count++;
    const names = match.at(-1);
    const named = typeof names === "object" ? (names as Record<string, string>) : {};
    return template.replace(/\\(?:g<(\w+)>|(\d{1,2})|([^]))/g, (_, group, number, other) => {
      if (other !== undefined) return characters[other as string] ?? String(other);
      const key = String(group ?? number);
      const value = /^\d+$/.test(key) ? match[Number(key)] : named[key];
      return typeof value === "string" ? value : "";
    });
  });
  return { text: replaced, count };
}

const characters: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r" };
