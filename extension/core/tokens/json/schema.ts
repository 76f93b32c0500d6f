import { t } from "@vscode/l10n";
import { isObject, type JsonObject } from "../../base/json.ts";
import { areApart } from "./apart.ts";
import { JsonMachine } from "./machine.ts";
import { type Node, trieOf } from "./node.ts";
import { bad, bounds, isEndless, listOf, spell, unsupportedAt } from "./schemaParts.ts";
import { annotations, checkKeywords, type JsonType, typesOf } from "./keywords.ts";

/** Bounds of what a schema may take to be made ready. */
const mostNodes = 20_000;
const mostLevels = 200;
const mostEnumerated = 1000;

type Reference = Extract<Node, { kind: "reference" }>;
type Plain<N> = N extends unknown ? Omit<N, "id"> : never;

/**
 * Makes a JSON schema ready. What a value may be is never wider than the schema, and narrower in places:
 * names that `properties` leaves out need `additionalProperties`, each value of an enum has one spelling.
 * @throws unsupported, naming the keyword; bad-request for a schema that is none, or that nothing fits
 */
export function compileSchema(schema: unknown): Node {
  return new Compiler(schema).root();
}

class Compiler {
  private readonly references = new Map<string, Reference>();
  /** What can be told only once every reference leads somewhere. */
  private readonly later: (() => void)[] = [];
  /** Of schemas that name no type: what is read is one, what fits are all. */
  private readonly narrowed = new Set<Node>();
  private nodes = 0;
  private anything: Node | null = null;

  constructor(private readonly schema: unknown) {}

  root(): Node {
    const node = this.compile(this.schema, "#", 0);
    for (const [pointer, reference] of this.references) {
      if (isEndless(reference)) throw bad(t("{0} leads to itself", pointer));
    }
    for (const check of this.later) check();
    return node;
  }

  private compile(schema: unknown, at: string, level: number): Node {
    if (level > mostLevels) throw bad(t("it has more than {0} levels", mostLevels));
    if (schema === true) return this.any();
    if (schema === false) throw bad(t("nothing fits {0}: it is false", at));
    if (!isObject(schema)) throw bad(t("{0} is neither an object nor true", at));
    checkKeywords(schema, at);
    const { $ref, allOf, anyOf, oneOf, enum: values, const: value } = schema;
    if ($ref !== undefined) return this.alone(schema, "$ref", at, () => this.reference($ref, at));
    if (allOf !== undefined) {
      const [only, ...others] = listOf(allOf, `${at}/allOf`);
      if (others.length > 0) throw unsupportedAt(t("allOf of several schemas"), at);
      return this.alone(schema, "allOf", at, () => this.compile(only, `${at}/allOf/0`, level + 1));
    }
    if (anyOf !== undefined) {
      return this.alone(schema, "anyOf", at, () => this.choice(anyOf, `${at}/anyOf`, level));
    }
    if (oneOf !== undefined) {
      return this.alone(schema, "oneOf", at, () => this.oneOf(oneOf, `${at}/oneOf`, level));
    }
    if (value !== undefined) return this.literals([value], schema, { at, level });
    if (values !== undefined) {
      return this.literals(listOf(values, `${at}/enum`), schema, { at, level });
    }
    const types = typesOf(schema, at);
    if (!types) return this.any();
    const node = this.oneOrMore(types.map((type) => this.typed(type, schema, { at, level })));
    if (schema["type"] === undefined) this.narrowed.add(node);
    return node;
  }

  /** A keyword that says all; what stands beside it must be for people only. */
  private alone(schema: JsonObject, keyword: string, at: string, make: () => Node): Node {
    const other = Object.keys(schema).find((key) => key !== keyword && !annotations.has(key));
    if (other !== undefined) throw unsupportedAt(t('"{0}" beside "{1}"', other, keyword), at);
    return make();
  }

  private reference($ref: unknown, at: string): Node {
    if (typeof $ref !== "string" || !$ref.startsWith("#")) {
      throw unsupportedAt(
        t("$ref to {0}, which is not in the schema itself", JSON.stringify($ref)),
        at,
      );
    }
    const known = this.references.get($ref);
    if (known) return known;
    const reference = this.node({ kind: "reference", to: null }) as Reference;
    this.references.set($ref, reference);
    reference.to = this.compile(this.find($ref, at), $ref, 0);
    return reference;
  }

  private find(pointer: string, at: string): unknown {
    let found = this.schema;
    for (const part of pointer.slice(1).split("/").slice(1)) {
      const key = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
      if (Array.isArray(found)) found = found[Number(key)];
      else found = isObject(found) && Object.hasOwn(found, key) ? found[key] : undefined;
      if (found === undefined) throw bad(t("{0} refers to {1}, which is not there", at, pointer));
    }
    return found;
  }

  private choice(list: unknown, at: string, level: number): Node {
    const options = listOf(list, at);
    return this.oneOrMore(
      options.map((option, i) => this.compile(option, `${at}/${i}`, level + 1)),
    );
  }

  /** Exactly one may fit: without backtracking that is certain only where no two ever can. */
  private oneOf(list: unknown, at: string, level: number): Node {
    const node = this.choice(list, at, level);
    if (node.kind !== "choice") return node;
    this.later.push(() => this.checkApart(node.options, at));
    return node;
  }

  private checkApart(options: readonly Node[], at: string): void {
    options.forEach((a, i) => {
      const j = options.findIndex((b, place) => place > i && !areApart(a, b, this.narrowed));
      if (j === -1) return;
      throw unsupportedAt(
        t("oneOf whose schemas {0} and {1} may both fit a value", i, j),
        at,
        t("Use anyOf, or give each a required property with a const of its own."),
      );
    });
  }

  private oneOrMore(options: readonly Node[]): Node {
    const [only, ...others] = options;
    if (!only) throw bad(t("a choice has no schema"));
    return others.length === 0 ? only : this.node({ kind: "choice", options });
  }

  /** Values in one spelling each: those that the rest of the schema allows. */
  private literals(
    values: readonly unknown[],
    schema: JsonObject,
    { at, level }: { at: string; level: number },
  ): Node {
    const { enum: list, const: value, ...rest } = schema;
    const both = value !== undefined && Array.isArray(list) ? list.map(spell) : null;
    const limit = new JsonMachine(this.compile(rest, at, level + 1));
    const spellings = [...new Set(values.map(spell))].filter(
      (text) =>
        (both?.includes(text) ?? true) && limit.read(new TextEncoder().encode(text))?.canEnd,
    );
    if (spellings.length === 0) throw bad(t("nothing fits {0}: no value of it is allowed", at));
    return this.node({ kind: "literal", root: trieOf(spellings) });
  }

  private typed(
    type: JsonType,
    schema: JsonObject,
    { at, level }: { at: string; level: number },
  ): Node {
    switch (type) {
      case "null":
        return this.node({ kind: "literal", root: trieOf(["null"]) });
      case "boolean":
        return this.node({ kind: "literal", root: trieOf(["true", "false"]) });
      case "string": {
        const [min, max] = bounds(schema, ["minLength", "maxLength"], at);
        return this.node({ kind: "string", min, max });
      }
      case "number":
      case "integer":
        return this.number(type === "integer", schema, at);
      case "object":
        return this.object(schema, at, level);
      case "array":
        return this.array(schema, at, level);
      default:
        return type satisfies never;
    }
  }

  private number(isInteger: boolean, schema: JsonObject, at: string): Node {
    const limit = (key: string): number | null => {
      const value = schema[key];
      if (value === undefined) return null;
      if (typeof value !== "number") throw bad(t("{0} is no number", `${at}/${key}`));
      return value;
    };
    const [low, high] = [limit("minimum"), limit("maximum")];
    const [above, below] = [limit("exclusiveMinimum"), limit("exclusiveMaximum")];
    const [lows, highs] = [
      [low, above],
      [high, below],
    ].map((all) => all.some((x) => x !== null));
    if (!lows && !highs) return this.node({ kind: "number", isInteger, sign: "any" });
    if (isInteger && lows && highs) {
      const first = Math.max(Math.ceil(low ?? -Infinity), Math.floor(above ?? -Infinity) + 1);
      const last = Math.min(Math.floor(high ?? Infinity), Math.ceil(below ?? Infinity) - 1);
      if (last < first) throw bad(t("nothing fits {0}: no integer lies within its bounds", at));
      if (last - first < mostEnumerated) {
        const all = Array.from({ length: last - first + 1 }, (_, i) => String(first + i));
        return this.node({ kind: "literal", root: trieOf(all) });
      }
    }
    if (!highs && above === null && low === 0) {
      return this.node({ kind: "number", isInteger, sign: "nonnegative" });
    }
    const isPositive = (low === 1 && above === null) || (above === 0 && low === null);
    if (!highs && isInteger && isPositive) {
      return this.node({ kind: "number", isInteger, sign: "positive" });
    }
    const named = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];
    throw unsupportedAt(
      t("{0} of these values", named.filter((key) => schema[key] !== undefined).join(", ")),
      at,
      t("Kept to are minimum 0, and integers within at most {0} values.", mostEnumerated),
    );
  }

  private object(schema: JsonObject, at: string, level: number): Node {
    const { properties = {}, required = [], additionalProperties } = schema;
    if (!isObject(properties)) throw bad(t("{0} is no object", `${at}/properties`));
    const needed = listOf(required, `${at}/required`, true);
    if (!needed.every((name) => typeof name === "string")) {
      throw bad(t("{0} has an entry that is no string", `${at}/required`));
    }
    const own = Object.entries(properties).filter(([, value]) => value !== false);
    const names = own.map(([name]) => name);
    const isOpen = additionalProperties ?? own.length === 0;
    const restAt = `${at}/additionalProperties`;
    const rest = isOpen === false ? null : this.compile(isOpen, restAt, level + 1);
    const values = own.map(([name, value]) =>
      this.compile(value, `${at}/properties/${name}`, level + 1),
    );
    for (const name of new Set(needed)) {
      if (names.includes(name)) continue;
      const isForbidden = Object.hasOwn(properties, name);
      if (!rest || isForbidden)
        throw bad(t('nothing fits {0}: it requires "{1}", which it forbids', at, name));
      names.push(name);
      values.push(rest);
    }
    const forbidden = Object.keys(properties).filter((name) => properties[name] === false);
    if (rest && forbidden.length > 0) throw unsupportedAt(t("a property that is false"), at);
    return this.node({
      kind: "object",
      names: trieOf(names.map((name) => spell(name).slice(1, -1))),
      values,
      required: names.flatMap((name, i) => (needed.includes(name) ? [i] : [])),
      rest,
      isClosed: additionalProperties === false,
    });
  }

  private array(schema: JsonObject, at: string, level: number): Node {
    const { prefixItems = [], items } = schema;
    if (Array.isArray(items)) throw unsupportedAt(t("items as a list"), at, t("Use prefixItems."));
    const prefix = listOf(prefixItems, `${at}/prefixItems`, true).map((each, i) =>
      this.compile(each, `${at}/prefixItems/${i}`, level + 1),
    );
    const rest = items ?? prefix.length === 0;
    const [min, max] = bounds(schema, ["minItems", "maxItems"], at);
    const most = rest === false ? Math.min(max, prefix.length) : max;
    if (most < min) throw bad(t("nothing fits {0}: it needs {1} items and has {2}", at, min, most));
    return this.node({
      kind: "array",
      prefix,
      items: rest === false ? null : this.compile(rest, `${at}/items`, level + 1),
      min,
      max: most,
    });
  }

  private any(): Node {
    if (this.anything) return this.anything;
    const reference = this.node({ kind: "reference", to: null }) as Reference;
    this.anything = reference;
    const options = [
      this.node({ kind: "literal", root: trieOf(["null", "true", "false"]) }),
      this.node({ kind: "number", isInteger: false, sign: "any" }),
      this.node({ kind: "string", min: 0, max: Infinity }),
      this.node({ kind: "array", prefix: [], items: reference, min: 0, max: Infinity }),
      this.node({
        kind: "object",
        names: trieOf([]),
        values: [],
        required: [],
        rest: reference,
        isClosed: false,
      }),
    ];
    reference.to = this.node({ kind: "choice", options });
    return reference;
  }

  private node(plain: Plain<Node>): Node {
    if (++this.nodes > mostNodes) throw bad(t("it has more than {0} parts", mostNodes));
    return { ...plain, id: this.nodes } as Node;
  }
}
