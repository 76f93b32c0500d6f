/** The fields of PEFT's methods, read from the schema that the extension ships. */

/** What of a field's schema the checks need. */
export interface FieldSchema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly items?: FieldSchema | readonly FieldSchema[];
  readonly additionalProperties?: FieldSchema | boolean;
  readonly anyOf?: readonly FieldSchema[];
  readonly default?: unknown;
  readonly deprecationMessage?: string;
  readonly renamedTo?: string;
}

export interface SchemaFile {
  readonly properties: Readonly<Record<string, FieldSchema>>;
  readonly definitions: Readonly<
    Record<
      string,
      { readonly title: string; readonly properties: Readonly<Record<string, FieldSchema>> }
    >
  >;
}

export interface FieldTable {
  /** Every `peft_type`. */
  readonly types: readonly string[];
  readonly taskTypes: readonly string[];
  /** Fields that a method has, the common ones too; those of all methods for an unknown type. */
  fieldsOf(type: unknown): ReadonlyMap<string, FieldSchema>;
  /** PEFT's class of a method, "LoraConfig"; the type itself for an unknown one. */
  classOf(type: unknown): string;
  /** What a former field of a method is called now; "" for one that is gone. */
  formerly(type: unknown, field: string): string | undefined;
  /** Methods that have a field. */
  ownersOf(field: string): readonly string[];
}

export function fieldTable({ properties, definitions }: SchemaFile): FieldTable {
  const isCurrent = ([, schema]: [string, FieldSchema]): boolean =>
    schema.deprecationMessage === undefined;
  const common = Object.entries(properties).filter(isCurrent);
  const types = Object.keys(definitions);
  const own = (type: string): [string, FieldSchema][] =>
    Object.entries(definitions[type]?.properties ?? {}).filter(isCurrent);
  const isKnown = (type: unknown): type is string =>
    typeof type === "string" && type in definitions;
  const tasks = properties["task_type"]?.enum ?? [];
  return {
    types,
    taskTypes: tasks.filter((each) => typeof each === "string"),
    fieldsOf: (type) => new Map([...common, ...(isKnown(type) ? own(type) : types.flatMap(own))]),
    classOf: (type) => (isKnown(type) ? (definitions[type]?.title ?? type) : String(type)),
    formerly: (type, field) => {
      const own = isKnown(type) ? definitions[type]?.properties[field] : undefined;
      const former = own ?? properties[field];
      return former?.deprecationMessage === undefined ? undefined : (former.renamedTo ?? "");
    },
    ownersOf: (field) => types.filter((type) => own(type).some(([name]) => name === field)),
  };
}

/** Does a value fit a field's schema? What does not is underlined by the editor's own JSON support. */
export function accepts(schema: FieldSchema, value: unknown): boolean {
  if (schema.anyOf) return schema.anyOf.some((each) => accepts(each, value));
  if (schema.enum) return schema.enum.includes(value);
  if ("const" in schema) return schema.const === value;
  if (schema.type && ![schema.type].flat().some((type) => isOfType(type, value))) return false;
  if (typeof value === "number") {
    if (schema.minimum !== undefined && value < schema.minimum) return false;
    return schema.exclusiveMinimum === undefined || value > schema.exclusiveMinimum;
  }
  if (typeof value === "string") {
    return schema.pattern === undefined || new RegExp(schema.pattern).test(value);
  }
  const { items, additionalProperties: rest } = schema;
  if (Array.isArray(value) && items && !("length" in items)) {
    return value.every((each) => accepts(items, each));
  }
  if (typeof value === "object" && value !== null && typeof rest === "object") {
    return Object.values(value).every((each) => accepts(rest, each));
  }
  return true;
}

function isOfType(type: string, value: unknown): boolean {
  switch (type) {
    case "null":
      return value === null;
    case "integer":
      return Number.isInteger(value);
    case "array":
      return Array.isArray(value);
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value);
    default:
      return typeof value === type;
  }
}
