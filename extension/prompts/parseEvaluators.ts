import { t } from "@vscode/l10n";
import type { Node } from "yaml";
import type { Evaluator, Rule } from "./evaluators.ts";
import { stringRules } from "./fields.ts";
import { byKey, parseSchema } from "./keys.ts";
import type { Entry, YamlReader } from "./yamlReader.ts";

/** Rules that are Graft's own. */
const ownRules = ["regex", "jsonSchema", "perplexity", "differsFromBase"];

/** The evaluators of a list; each has one rule, a string evaluator one for each of its keys. */
export function parseEvaluators(
  reader: YamlReader,
  node: Node | null,
  path: "evaluators" | "graft.evaluators",
): Evaluator[] {
  return reader.items(node, path).flatMap((item) => {
    const entries = reader.entries(item, t("An evaluator"));
    const misplaced = path === "evaluators" ? entries.filter((e) => ownRules.includes(e.key)) : [];
    for (const { key, keySpan } of misplaced) {
      const text = t(
        "“{0}” is Graft's own: GitHub's tool stops here. Put it under graft.evaluators.",
        key,
      );
      reader.report(text, keySpan, "warning");
    }
    const known = entries.filter((entry) => !misplaced.includes(entry));
    byKey(reader, known, `${path}[]`);
    const own = new Map(entries.map((entry) => [entry.key, entry]));
    const name = own.get("name");
    const shared = {
      name: name ? (reader.string(name.value, "name") ?? "") : "",
      adapters: parseNames(reader, own.get("adapters")),
      span: reader.spanOf(item),
    };
    const rules = parseRules(reader, own, path);
    if (rules === null) {
      reader.report(t("An evaluator needs a rule: string, regex, jsonSchema…"), item, "error");
    }
    return (rules ?? []).map((rule) => ({ ...shared, rule }));
  });
}

function parseNames(reader: YamlReader, entry: Entry | undefined): string[] {
  if (!entry) return [];
  const nodes = reader.isList(entry.value) ? reader.items(entry.value, "adapters") : [entry.value];
  return nodes.map((node) => reader.string(node, "adapters")).filter((name) => name !== undefined);
}

/** The rules of an evaluator; null where it has none at all. */
function parseRules(
  reader: YamlReader,
  own: ReadonlyMap<string, Entry>,
  path: string,
): Rule[] | null {
  const rules: Rule[] = [];
  let hasRule = false;
  for (const [key, entry] of own) {
    const parse = parsers[key];
    if (!parse) continue;
    hasRule = true;
    rules.push(...parse(reader, entry, path));
  }
  return hasRule ? rules : null;
}

type Parse = (reader: YamlReader, entry: Entry, path: string) => Rule[];

const parsers: Readonly<Record<string, Parse>> = {
  string: (reader, { value }, path) => {
    const own = byKey(reader, reader.entries(value, "string"), `${path}[].string`);
    const rules = stringRules.flatMap((how): Rule[] => {
      const entry = own.get(how);
      const wanted = entry && reader.string(entry.value, how);
      return wanted === undefined ? [] : [{ kind: "string", how, value: wanted }];
    });
    if (rules.length === 0) {
      reader.report(t("string needs one of {0}.", stringRules.join(", ")), value, "error");
    }
    return rules;
  },
  regex: (reader, { value }, path) => {
    const isMapping = reader.isMapping(value);
    const own = isMapping
      ? byKey(reader, reader.entries(value, "regex"), `${path}[].regex`)
      : undefined;
    const source = reader.string(own ? (own.get("pattern")?.value ?? null) : value, "regex");
    const flags = own?.get("flags") ? reader.string(own.get("flags")?.value ?? null, "flags") : "";
    if (source === undefined || flags === undefined) return [];
    try {
      new RegExp(source, flags);
    } catch (error) {
      reader.report((error as Error).message, value, "error");
      return [];
    }
    return [{ kind: "regex", source, flags }];
  },
  jsonSchema: (reader, entry) => {
    const schema = parseSchema(reader, entry);
    return schema ? [{ kind: "jsonSchema", schema }] : [];
  },
  perplexity: (reader, { value }, path) => {
    const own = byKey(reader, reader.entries(value, "perplexity"), `${path}[].perplexity`);
    const bound = own.get("atMost");
    if (!bound) reader.report(t("perplexity needs atMost."), value, "error");
    const range = { least: 1, most: Infinity };
    const atMost = bound && reader.number(bound.value, "atMost", range);
    const of = own.get("of") ? reader.string(own.get("of")?.value ?? null, "of") : "expected";
    if (of !== "expected" && of !== "answer") {
      reader.report(t("“of” is “expected” or “answer”."), own.get("of")?.value ?? null, "error");
      return [];
    }
    return atMost === undefined ? [] : [{ kind: "perplexity", atMost, of }];
  },
  differsFromBase: (reader, { value }) =>
    reader.plain(value) === false ? [] : [{ kind: "differsFromBase" }],
  llm: () => [{ kind: "judge", what: "llm" }],
  uses: (reader, { value }) => [{ kind: "judge", what: reader.string(value, "uses") ?? "uses" }],
};
