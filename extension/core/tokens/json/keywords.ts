import { t } from "@vscode/l10n";
import { badRequest, unsupported } from "../../base/errors.ts";
import type { JsonObject } from "../../base/json.ts";

const types = ["object", "array", "string", "number", "integer", "boolean", "null"] as const;
export type JsonType = (typeof types)[number];

/** Keywords that say nothing about which values fit. */
export const annotations: ReadonlySet<string> = new Set([
  ...["$schema", "$id", "$comment", "$defs", "definitions", "title", "description"],
  ...["default", "examples", "deprecated", "readOnly", "writeOnly"],
]);

/** Keywords of single types; where a schema names no type they say which one is meant. */
const ofTypes: Readonly<Record<string, readonly JsonType[]>> = {
  properties: ["object"],
  required: ["object"],
  additionalProperties: ["object"],
  items: ["array"],
  prefixItems: ["array"],
  minItems: ["array"],
  maxItems: ["array"],
  minLength: ["string"],
  maxLength: ["string"],
  minimum: ["number"],
  maximum: ["number"],
  exclusiveMinimum: ["number"],
  exclusiveMaximum: ["number"],
};

const others = new Set(["type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"]);

/** @throws unsupported, naming the first keyword that cannot be kept to */
export function checkKeywords(schema: JsonObject, at: string): void {
  for (const key of Object.keys(schema)) {
    if (annotations.has(key) || others.has(key) || Object.hasOwn(ofTypes, key)) continue;
    throw unsupported(
      t('Graft cannot keep an answer to "{0}" ({1} of the JSON schema)', key, at),
      t("Leave it out and check the answer afterwards."),
    );
  }
}

/**
 * What a value may be. Keywords of one type make it that: any other value would fit as well, and is what
 * nobody means.
 * @returns null where everything fits
 */
export function typesOf(schema: JsonObject, at: string): JsonType[] | null {
  const { type } = schema;
  if (type === undefined) {
    const meant = Object.keys(schema).flatMap((key) => ofTypes[key] ?? []);
    return meant.length === 0 ? null : [...new Set(meant)];
  }
  const named = Array.isArray(type) ? (type as unknown[]) : [type];
  const isKnown = (each: unknown): each is JsonType => types.includes(each as JsonType);
  if (named.length > 0 && named.every(isKnown)) return [...new Set(named)];
  throw badRequest(
    t(
      "This JSON schema cannot be used: {0}/type is {1}, not among {2}.",
      at,
      JSON.stringify(type),
      types.join(", "),
    ),
  );
}
