import { parseArgs, type ParseArgsConfig } from "node:util";
import { badRequest } from "../core/base/errors.ts";

type Values<O extends NonNullable<ParseArgsConfig["options"]>> = ReturnType<
  typeof parseArgs<{ options: O; allowPositionals: true }>
>;

/** Options and positionals of a verb; a wrong option is a message, not a stack. */
export function readArguments<O extends NonNullable<ParseArgsConfig["options"]>>(
  args: string[],
  options: O,
): Values<O> {
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw badRequest((error as Error).message);
  }
}

export function readNumber(text: string | undefined, name: string, fallback: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (text.trim() === "" || Number.isNaN(value))
    throw badRequest(`--${name} is "${text}", not a number.`);
  return value;
}

/** "DIR:0.5" → folder and weight; a colon of a Windows drive is no weight. */
export function readWeighted(text: string): { folder: string; weight: number } {
  const match = /^(.+):(-?\d*\.?\d+(?:e-?\d+)?)$/i.exec(text);
  return match
    ? { folder: match[1] as string, weight: Number(match[2]) }
    : { folder: text, weight: 1 };
}

/** A value that must be one of a few; undefined where none was given. */
export function oneOf<T extends string>(
  name: string,
  value: string | undefined,
  allowed: readonly T[],
): T | undefined {
  const known = allowed.find((each) => each === value);
  if (known !== undefined || value === undefined) return known;
  throw badRequest(`--${name} is "${value}": ${allowed.join(" or ")}.`);
}
