import { type Field, fields } from "./fields.ts";

type Schema = Record<string, unknown>;

/** JSON schema of prompt files, for editors that know YAML schemas; made from the list of fields. */
export function promptSchema(): Schema {
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "Prompt file of GitHub Models, with Graft's own part",
    type: "object",
    required: ["messages"],
    properties: { ...propertiesOf(""), testData: testData() },
  };
}

function propertiesOf(parent: string): Schema {
  const start = parent === "" ? "" : `${parent}.`;
  const own = fields().filter(
    ({ path }) => path.startsWith(start) && !/[.[]/.test(path.slice(start.length)),
  );
  return Object.fromEntries(own.map((field) => [field.path.slice(start.length), schemaOf(field)]));
}

function schemaOf(field: Field): Schema {
  const { path, meaning, type, values, least, most } = field;
  const schema: Schema = { description: meaning };
  if (path === "graft.adapters") return { ...schema, type: "array", items: adapterItem() };
  if (path.endsWith("].adapters")) {
    return { ...schema, type: "array", items: { type: "string" } };
  }
  if (type !== "any") schema["type"] = type;
  if (values) schema["enum"] = [...values];
  if (least !== undefined) schema["minimum"] = least;
  if (most !== undefined) schema["maximum"] = most;
  if (type === "object") {
    const properties = propertiesOf(path);
    if (Object.keys(properties).length > 0) schema["properties"] = properties;
  }
  if (type === "array") schema["items"] = { type: "object", properties: propertiesOf(`${path}[]`) };
  return schema;
}

function testData(): Schema {
  const own = propertiesOf("testData[]");
  const items = { type: "object", properties: own, additionalProperties: true };
  return { ...schemaOf(fields().find(({ path }) => path === "testData") as Field), items };
}

function adapterItem(): Schema {
  const one = {
    anyOf: [
      { type: "string" },
      {
        type: "object",
        required: ["adapter"],
        properties: propertiesOf("graft.adapters[]"),
      },
    ],
  };
  return { anyOf: [...one.anyOf, { type: "array", items: one }] };
}
