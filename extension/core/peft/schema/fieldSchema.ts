/** JSON schemas of single fields: from what Graft reads them with (zod), else from PEFT's annotations. */
import { z } from "zod";

/** The part of JSON Schema (draft 7) that adapter_config.json needs. */
export interface JsonSchema {
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  anyOf?: JsonSchema[];
  pattern?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  items?: JsonSchema | JsonSchema[];
  minItems?: number;
  maxItems?: number;
  properties?: Record<string, JsonSchema>;
  additionalProperties?: JsonSchema | boolean;
  required?: string[];
  default?: unknown;
  description?: string;
  markdownDescription?: string;
  deprecationMessage?: string;
  /** Graft's own: the name that a former field has now. */
  renamedTo?: string;
  /** VS Code's own: what it says of a value that does not fit. */
  errorMessage?: string;
  enumDescriptions?: string[];
}

/** Schemas of a method's fields, as far as it reads them. */
export function readFields(schema: z.ZodType): Record<string, JsonSchema> {
  const whole = z.toJSONSchema(schema, {
    io: "input",
    unrepresentable: "any",
    target: "draft-7",
  }) as JsonSchema;
  const fields = Object.entries(whole.properties ?? {});
  return Object.fromEntries(fields.map(([name, field]) => [name, simplified(field)]));
}

/** Without what says nothing: bounds that every double has, names that are strings, unions in unions. */
function simplified(schema: JsonSchema): JsonSchema {
  const { default: _default, anyOf, ...own } = schema;
  delete (own as { propertyNames?: unknown }).propertyNames;
  if (own.minimum === Number.MIN_SAFE_INTEGER) delete own.minimum;
  if (own.maximum === Number.MAX_SAFE_INTEGER) delete own.maximum;
  if (own.type === "integer" && own.exclusiveMinimum === 0) {
    delete own.exclusiveMinimum;
    own.minimum = 1;
  }
  if (typeof own.additionalProperties === "object") {
    if (Object.keys(own.additionalProperties).length === 0) delete own.additionalProperties;
    else own.additionalProperties = simplified(own.additionalProperties);
  }
  if (Array.isArray(own.items)) own.items = own.items.map(simplified);
  else if (own.items) own.items = simplified(own.items);
  if (own.properties) {
    const inner = Object.entries(own.properties);
    own.properties = Object.fromEntries(inner.map(([name, each]) => [name, simplified(each)]));
  }
  return anyOf ? union(anyOf.map(simplified)) : own;
}

/** One schema for several; plain types are put together. */
function union(parts: readonly JsonSchema[]): JsonSchema {
  const flat = parts.flatMap((part) => part.anyOf ?? [part]);
  const isPlain = (part: JsonSchema): boolean => Object.keys(part).join() === "type";
  const types = [...new Set(flat.filter(isPlain).flatMap(({ type }) => type ?? []))];
  const others = flat.filter((part) => !isPlain(part));
  const plain = types.length === 0 ? [] : [{ type: types.length === 1 ? types[0] : types }];
  const all = [...others, ...plain] as JsonSchema[];
  return all.length === 1 ? (all[0] as JsonSchema) : { anyOf: all };
}

/** The schema of type names as `scripts/peftFields.py` writes them: "integer", "array:string", "=none". */
export function annotated(names: readonly string[]): JsonSchema {
  const values = names.filter((name) => name.startsWith("=")).map((name) => name.slice(1));
  const others = names.filter((name) => !name.startsWith("="));
  return union([
    ...(values.length > 0 ? [{ enum: values }] : []),
    ...others.map((name): JsonSchema => {
      const [type, inner] = splitOnce(name);
      return inner === undefined ? { type } : { type, items: annotated(inner.split("|")) };
    }),
  ]);
}

function splitOnce(name: string): [string, string | undefined] {
  const at = name.indexOf(":");
  return at < 0 ? [name, undefined] : [name.slice(0, at), name.slice(at + 1)];
}

const plainTypes: Readonly<Record<string, string>> = {
  integer: "whole number",
  number: "number",
  boolean: "true or false",
  string: "text",
  array: "list",
  object: "object",
  null: "null",
};

/** A schema in a few words: "whole number of at least 1", "text, list of text or null". */
export function typeText(schema: JsonSchema): string {
  const parts = partsOf(schema);
  const last = parts.pop() ?? "anything";
  return parts.length === 0 ? last : `${parts.join(", ")} or ${last}`;
}

function partsOf(schema: JsonSchema): string[] {
  if (schema.anyOf) return schema.anyOf.flatMap(partsOf);
  if (schema.enum) return schema.enum.map((value) => `\`${String(value)}\``);
  if (schema.const !== undefined) return [`\`${String(schema.const)}\``];
  if (schema.pattern !== undefined) return [`text like ${schema.pattern}`];
  return [schema.type ?? "anything"].flat().map((type) => {
    const name = plainTypes[type] ?? type;
    if (type === "array" && schema.items && !Array.isArray(schema.items)) {
      return `${name} of ${manyOf(typeText(schema.items))}`;
    }
    if (schema.minimum !== undefined) return `${name} of at least ${schema.minimum}`;
    if (schema.exclusiveMinimum !== undefined) return `${name} above ${schema.exclusiveMinimum}`;
    return name;
  });
}

function manyOf(what: string): string {
  return what.replace(/^(whole number|number|list)\b/, "$1s").replace(/^text$/, "texts");
}
