/**
 * The JSON schema of adapter_config.json: every method's fields by the method itself, types and defaults
 * of what only training reads by PEFT's dataclasses. `npm run schema` writes it into media/schemas.
 */
import { methodLabels, taskTypes } from "../../checkpoint/adapterConfig.ts";
import { methods } from "../index.ts";
import { commonFields, type FieldInfo, type Method } from "../method.ts";
import { annotated, type JsonSchema, readFields, typeText } from "./fieldSchema.ts";
import facts from "./peftFields.json" with { type: "json" };

interface PeftMethod {
  readonly class: string;
  /** Type names and default, by field. */
  readonly fields: Readonly<Record<string, readonly unknown[]>>;
}

const peftMethods: Readonly<Record<string, PeftMethod>> = facts.methods;

/** Version of PEFT that the fields are of: "0.21". */
const peftVersion = facts.version.replace(/\.\d+$/, "");

/** Values that PEFT takes and neither a reader nor an annotation can say. */
const exact: Readonly<Record<string, JsonSchema>> = {
  init_lora_weights: {
    anyOf: [
      { type: "boolean" },
      {
        enum: [
          "gaussian",
          "eva",
          "olora",
          "pissa",
          "corda",
          "loftq",
          "orthogonal",
          "lora_ga",
          "mica",
        ],
      },
      { type: "string", pattern: "^pissa_niter_\\d+$" },
    ],
  },
};

/** Names of fields that PEFT or tools around it had before, and what is written instead; "" for nothing. */
const formerFields: Readonly<Record<string, string>> = {
  enable_lora: "",
  merge_weights: "",
  invocation_string: "alora_invocation_tokens",
  alora_invocation_string: "alora_invocation_tokens",
  lora_r: "r",
  rank: "r",
  alpha: "lora_alpha",
  dropout: "lora_dropout",
  lora_target_modules: "target_modules",
  lora_modules_to_save: "modules_to_save",
  lora_fan_in_fan_out: "fan_in_fan_out",
  base_model: "base_model_name_or_path",
  base_model_name: "base_model_name_or_path",
  base_model_path: "base_model_name_or_path",
};

export interface AdapterConfigSchema extends JsonSchema {
  readonly $schema: string;
  readonly title: string;
  readonly definitions: Readonly<Record<string, JsonSchema & { title: string }>>;
  readonly allOf: readonly { if: JsonSchema; then: { $ref: string } }[];
}

/** The whole schema; a value that it refuses is one that loading refuses or PEFT does not know. */
export function adapterConfigSchema(): AdapterConfigSchema {
  const known = methods.toSorted((a, b) => a.peftType.localeCompare(b.peftType));
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "PEFT adapter configuration",
    description: `adapter_config.json as PEFT ${peftVersion} reads and writes it.`,
    type: "object",
    required: ["peft_type"],
    properties: commonProperties(),
    definitions: Object.fromEntries(known.map((method) => [method.peftType, definition(method)])),
    allOf: known.map(({ peftType }) => ({
      if: { properties: { peft_type: { const: peftType } }, required: ["peft_type"] },
      then: { $ref: `#/definitions/${peftType}` },
    })),
  };
}

function commonProperties(): Record<string, JsonSchema> {
  const text: JsonSchema = { type: ["string", "null"] };
  const types = methods.map(({ peftType }) => peftType).sort();
  const schemas: Readonly<Record<string, JsonSchema>> = {
    peft_type: {
      type: "string",
      enum: types,
      enumDescriptions: types.map((type) => methodText(type)),
    },
    task_type: { enum: [...taskTypes, null], enumDescriptions: [...taskTexts] },
    base_model_name_or_path: text,
    revision: text,
    inference_mode: { type: "boolean" },
    auto_mapping: { type: ["object", "null"] },
    peft_version: text,
  };
  const fields = Object.entries(schemas).map(([name, schema]) => {
    const info = commonFields[name] ?? { meaning: "", default: null };
    return [name, described(schema, { name, info, owner: "PeftConfig" })] as const;
  });
  return { ...Object.fromEntries(fields), ...former(Object.keys(commonFields)) };
}

const taskTexts = [
  "Classifies a text.",
  "Reads with an encoder and writes with a decoder.",
  "Writes text, token by token.",
  "Labels every token.",
  "Finds an answer in a text.",
  "Gives hidden states.",
  "None: the base is opened as auto_mapping says.",
];

function methodText(type: string): string {
  const label = methodLabels[type] ?? type;
  const config = peftMethods[type]?.class;
  return config ? `${label} (${config})` : `${label}: a former name, which PEFT no longer knows`;
}

function definition(method: Method): JsonSchema & { title: string } {
  const { peftType } = method;
  const peft = peftMethods[peftType];
  const owner = peft?.class ?? methodLabels[peftType] ?? peftType;
  const read = readFields(method.schema);
  const names = peft ? Object.keys(peft.fields) : Object.keys(method.fields);
  const properties = names.map((name): [string, JsonSchema] => {
    const [types, fallback] = peft?.fields[name] ?? [[], method.fields[name]?.default];
    const info = method.fields[name] ?? { meaning: "", default: fallback };
    const schema = chosen(name, read[name], types as readonly string[]);
    return [name, described(schema, { name, info, owner })];
  });
  return {
    title: owner,
    properties: { ...Object.fromEntries(properties), ...former(names) },
  };
}

/** What Graft reads a field with, unless PEFT's annotation lists the values of a text. */
function chosen(name: string, read: JsonSchema | undefined, types: readonly string[]): JsonSchema {
  const own = exact[name];
  if (own) return own;
  const listsValues = types.some((type) => type.startsWith("=")) && !types.includes("string");
  const isText = read?.type === "string" && !read.enum;
  const isTextOrSwitch = Array.isArray(read?.type) && read.type.includes("string");
  if (read && !(listsValues && (isText || isTextOrSwitch))) return read;
  return types.length === 0 ? (read ?? {}) : annotated(types);
}

function described(
  schema: JsonSchema,
  { name, info, owner }: { name: string; info: FieldInfo; owner: string },
): JsonSchema {
  const isLong = (schema.enum?.length ?? 0) > 12;
  const type = isLong ? "text, one of the list" : typeText(schema);
  const value = info.default === null ? "null" : JSON.stringify(info.default);
  const facts = `Type: ${type}  \nDefault: \`${value}\`  \nSource: PEFT ${peftVersion}, \`${owner}.${name}\``;
  return {
    ...schema,
    ...(info.default !== undefined && name !== "peft_type" && { default: info.default }),
    ...(schema.type !== undefined || schema.enum ? { errorMessage: errorText(name, type) } : {}),
    markdownDescription: `${info.meaning}\n\n${facts}`,
  };
}

function errorText(name: string, type: string): string {
  if (name !== "peft_type") return `${name} must be ${type.replaceAll("`", '"')}.`;
  return `No method of PEFT ${peftVersion} is called so. Methods are written in capitals, for example LORA.`;
}

/** Former names, marked as such where no field of the method is called so. */
function former(names: readonly string[]): Record<string, JsonSchema> {
  const found = Object.entries(formerFields).filter(
    ([name, now]) => !names.includes(name) && (now === "" || names.includes(now)),
  );
  return Object.fromEntries(
    found.map(([name, now]) => [
      name,
      {
        deprecationMessage:
          now === ""
            ? `PEFT ${peftVersion} no longer knows this field; it is kept on save.`
            : `PEFT calls this field ${now}.`,
        ...(now !== "" && { renamedTo: now }),
      },
    ]),
  );
}

/** The schema as its file has it: a line for every field, so that changes can be read. */
export function schemaText(): string {
  const lines = (part: object, depth: number): string => {
    if (depth === 0) return JSON.stringify(part);
    const entries = Object.entries(part).map(([key, value]: [string, unknown]) => {
      const isDeep = typeof value === "object" && value !== null && !Array.isArray(value);
      return `${JSON.stringify(key)}:${isDeep ? lines(value, depth - 1) : JSON.stringify(value)}`;
    });
    return `{\n${entries.join(",\n")}\n}`;
  };
  return `${lines(adapterConfigSchema(), 4)}\n`;
}
