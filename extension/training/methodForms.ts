import type { MethodField, MethodForm } from "../protocol/trainPageContract.ts";

/** The part of media/schemas/adapter_config.schema.json that forms are drawn from. */
interface FieldSchema {
  type?: string | string[];
  enum?: unknown[];
  anyOf?: FieldSchema[];
  minimum?: number;
  default?: unknown;
  markdownDescription?: string;
  deprecationMessage?: string;
}

export interface ConfigSchema {
  properties: { peft_type: { enum: string[]; enumDescriptions: string[] } };
  definitions: Record<string, { properties: Record<string, FieldSchema> }>;
}

/** What most runs of a method set; the rest waits under "All fields". */
const common =
  /^(r|rank|alpha|l?.*_alpha|.*dropout|target_modules|num_virtual_tokens|adapter_len|adapter_layers|total_step|n_frequency|block_size|oft_block_size|boft_block_size|group_size|vector_length|num_vectors|use_rslora|use_dora|token_indices)$/;

/**
 * The forms of methods, in the order in which they are named.
 * @param translate of a field's meaning, which the core says in English for the schema
 */
export function methodForms(
  schema: ConfigSchema,
  types: readonly string[],
  translate: (text: string) => string = (text) => text,
): MethodForm[] {
  const { enum: known, enumDescriptions } = schema.properties.peft_type;
  return types.flatMap((peftType) => {
    const properties = schema.definitions[peftType]?.properties;
    if (!properties) return [];
    const text = enumDescriptions[known.indexOf(peftType)] ?? peftType;
    const fields = Object.entries(properties)
      .filter(([, field]) => field.deprecationMessage === undefined)
      .map(([name, field]) => formField(name, field, translate));
    // What is shown at once comes first, the rest as PEFT has it.
    const order = [...fields].sort((a, b) => Number(b.isCommon) - Number(a.isCommon));
    return [{ peftType, label: text.replace(/ \(.*\)$/, ""), fields: order }];
  });
}

function formField(
  name: string,
  schema: FieldSchema,
  translate: (text: string) => string,
): MethodField {
  const parts = flat(schema);
  const types = parts.flatMap(({ type, enum: values }) => (values ? [] : (type ?? [])));
  const choices = parts.flatMap((part) => part.enum ?? []).filter((each) => each !== null);
  return {
    name,
    meaning: translate((schema.markdownDescription ?? "").split("\n\n")[0] ?? ""),
    default: schema.default ?? null,
    kind: kindOf(types, choices),
    choices: choices.map(String),
    minimum: parts.find(({ minimum }) => minimum !== undefined)?.minimum ?? null,
    isCommon: common.test(name),
  };
}

function flat(schema: FieldSchema): FieldSchema[] {
  return schema.anyOf ? schema.anyOf.flatMap(flat) : [schema];
}

function kindOf(types: readonly string[], choices: readonly unknown[]): MethodField["kind"] {
  const own = new Set(types.filter((type) => type !== "null"));
  const isOnly = (...names: string[]): boolean =>
    own.size > 0 && [...own].every((type) => names.includes(type));
  if (choices.length > 0) return own.size === 0 ? "choice" : "json";
  if (isOnly("boolean")) return "switch";
  if (isOnly("integer")) return "integer";
  if (isOnly("integer", "number")) return "number";
  if (isOnly("string")) return "text";
  if (isOnly("array", "string")) return "names";
  return "json";
}
