import { t } from "@vscode/l10n";
import { type Field, fields } from "./fields.ts";
import type { Entry, YamlReader } from "./yamlReader.ts";

/** Entries by their key; a key that is not known is kept in the file and told. */
export function byKey(
  reader: YamlReader,
  entries: readonly Entry[],
  path: string,
): Map<string, Entry> {
  const known = fields();
  const at = (key: string): string => (path === "" ? key : `${path}.${key}`);
  for (const { key, keySpan } of entries) {
    const field = known.find((each) => each.path === at(key));
    if (!field) sayUnknown(reader, { key, keySpan, path, known });
    else if (field.isUnused) reader.report(field.meaning, keySpan, "info");
  }
  return new Map(entries.map((entry) => [entry.key, entry]));
}

function sayUnknown(
  reader: YamlReader,
  {
    key,
    keySpan,
    path,
    known,
  }: Pick<Entry, "key" | "keySpan"> & { path: string; known: readonly Field[] },
): void {
  const prefix = path === "" ? "" : `${path}.`;
  const names = known
    .filter((each) => each.path.startsWith(prefix))
    .map((each) => each.path.slice(prefix.length))
    .filter((name) => !/[.[]/.test(name));
  const near = names.find((name) => name.toLowerCase() === key.toLowerCase());
  const text =
    near === undefined
      ? t("“{0}” is not known here and is passed over.", key)
      : t("“{0}” is not known here and is passed over: “{1}” is meant.", key, near);
  reader.report(text, keySpan, "warning");
}

/** A schema by itself, or under "schema" beside a "name" as GitHub's tool wants it. */
export function parseSchema(reader: YamlReader, entry: Entry | undefined): object | null {
  if (!entry) return null;
  let value = reader.plain(entry.value);
  if (typeof value === "string") {
    try {
      value = JSON.parse(value) as unknown;
    } catch (error) {
      reader.report(
        t("jsonSchema is no JSON: {0}", (error as Error).message),
        entry.value,
        "error",
      );
      return null;
    }
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    reader.report(t("jsonSchema has to be a JSON schema: a mapping."), entry.value, "error");
    return null;
  }
  const inner = "schema" in value && "name" in value ? value.schema : value;
  return typeof inner === "object" && inner !== null ? inner : value;
}
