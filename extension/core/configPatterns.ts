/** What each name, key and pattern of an adapter_config.json means on a base, as PEFT matches them. */
import type { JsonObject } from "./base/json.ts";
import { isObject } from "./base/json.ts";
import { containerPaths, layerIndex, type ModuleTree } from "./checkpoint/modules.ts";
import { isChosen, parameterNames, resolveParameters } from "./checkpoint/parameters.ts";
import { fullMatch, isPatternKey, pathMatcher, type TargetFields } from "./checkpoint/targets.ts";
import { deadAlternatives } from "./checkpoint/alternatives.ts";
import { isSaved } from "./peft/tuner/wholeParameters.ts";

/** One of them, with what it chooses. */
export interface PatternMatch {
  path: (string | number)[];
  kind: "target" | "regex" | "exclude" | "save" | "key" | "layer" | "layers" | "parameter";
  text: string;
  count: number;
  first: string[];
  chosen: number;
  inner: string[];
  shadowedBy?: string;
  dead: { text: string; start: number; end: number }[];
}

const shown = 3;

/** Fields whose values are names of modules, as target_modules has them. */
const targetLike = ["target_modules", "feedforward_modules"];

const expertLayer = /(^|\.)(w[123]|(gate|up|down)_proj)$/;

interface Known {
  readonly raw: JsonObject;
  readonly tree: ModuleTree;
  readonly paths: readonly string[];
  readonly containers: readonly string[];
  /** Paths that all target fields together choose. */
  readonly chosen: ReadonlySet<string>;
}

/** Every place of the config that names modules. A broken regex is left to the loader to tell of. */
export function matchPatterns(raw: JsonObject, tree: ModuleTree): PatternMatch[] {
  // Its target_modules names attention blocks, by PEFT's own rule.
  if (raw["peft_type"] === "ADAPTION_PROMPT") return [];
  const experts = (tree.experts ?? []).map(({ path }) => path);
  const paths = [...tree.modules.map(({ path }) => path), ...experts];
  const known: Known = {
    raw,
    tree,
    paths,
    containers: [...containerPaths(tree)].filter((path) => !experts.includes(path)),
    chosen: new Set(paths.filter(matcherOf(raw, tree))),
  };
  return [
    ...targetLike.flatMap((field) => targets(field, known)),
    ...excluded(known),
    ...strings(raw["modules_to_save"]).map(([name, at]) =>
      saved(name, ["modules_to_save", ...at], known),
    ),
    ...Object.keys(raw)
      .filter((field) => field.endsWith("_pattern"))
      .flatMap((field) => keys(field, known)),
    ...layers(known),
    ...strings(raw["target_parameters"]).map(([name, at]) =>
      parameter(name, ["target_parameters", ...at], known),
    ),
  ];
}

function matcherOf(raw: JsonObject, tree: ModuleTree): (path: string) => boolean {
  try {
    return pathMatcher(tree, fieldsOf(raw));
  } catch {
    // What is wrong with the fields is told on its own; no pattern is called idle for it.
    return () => true;
  }
}

/** The fields that choose, as far as they are of their types. */
function fieldsOf(raw: JsonObject): TargetFields {
  const names = (field: string): string | string[] | null => {
    const value = raw[field];
    if (typeof value === "string") return value;
    return Array.isArray(value) ? value.filter((each) => typeof each === "string") : null;
  };
  const layers = raw["layers_to_transform"];
  const saved = names("modules_to_save");
  return {
    targetModules: names("target_modules"),
    excludeModules: names("exclude_modules"),
    layersToTransform:
      typeof layers === "number"
        ? layers
        : Array.isArray(layers)
          ? layers.filter((each) => typeof each === "number")
          : null,
    layersPattern: names("layers_pattern"),
    modulesToSave: Array.isArray(saved) ? saved : [],
    file: "",
  };
}

/** The strings of a field with their place in it: the field itself or an item. */
function strings(value: unknown): [text: string, at: number[]][] {
  if (typeof value === "string") return [[value, []]];
  if (!Array.isArray(value)) return [];
  return value.flatMap((each: unknown, i) =>
    typeof each === "string" ? [[each, [i]] as [string, number[]]] : [],
  );
}

function match(
  at: Pick<PatternMatch, "path" | "kind" | "text">,
  found: readonly string[],
  more: Partial<PatternMatch> = {},
): PatternMatch {
  const counts = { count: found.length, first: found.slice(0, shown), chosen: found.length };
  return { ...at, ...counts, inner: [], dead: [], ...more };
}

function isNamed(path: string, name: string): boolean {
  return path === name || path.endsWith(`.${name}`);
}

function targets(field: string, known: Known): PatternMatch[] {
  const { raw, paths, containers, chosen, tree } = known;
  const value = raw[field];
  const remaining = (found: readonly string[]): number =>
    found.filter((path) => chosen.has(path)).length;
  if (typeof value === "string") {
    const at = { path: [field], kind: "regex" as const, text: value };
    if (value === "all-linear") {
      const linear = paths.filter((path) => chosen.has(path));
      return [match(at, linear)];
    }
    const found = fullMatches(value, paths);
    if (found === null) return [];
    const dead = deadAlternatives(value, (part) => (fullMatches(part, paths) ?? [""]).length === 0);
    return [match(at, found, { chosen: remaining(found), dead })];
  }
  return strings(value).flatMap(([text, [i = 0]]): PatternMatch[] => {
    const found = paths.filter((path) => isNamed(path, text));
    // Names of single experts' layers, which are read as the stacks of today.
    if (found.length === 0 && tree.experts && expertLayer.test(text)) return [];
    const container = containers.filter((path) => isNamed(path, text));
    const linear = tree.modules.filter(({ kind }) => kind === "linear");
    const inside = linear.filter(({ path }) =>
      container.some((each) => path.startsWith(`${each}.`)),
    );
    const inner = [...new Set(inside.map(({ path }) => path.split(".").at(-1) as string))];
    const at = { path: [field, i], kind: "target" as const, text };
    return [match(at, found, { chosen: remaining(found), inner: found.length > 0 ? [] : inner })];
  });
}

function fullMatches(pattern: string, paths: readonly string[]): string[] | null {
  try {
    const regex = fullMatch(pattern, "target_modules", "");
    return paths.filter((path) => regex.test(path));
  } catch {
    return null;
  }
}

function excluded({ raw, paths, containers }: Known): PatternMatch[] {
  const all = [...paths, ...containers];
  const value = raw["exclude_modules"];
  if (typeof value === "string" && value !== "") {
    const found = fullMatches(value, all);
    if (found === null) return [];
    const dead = deadAlternatives(value, (part) => (fullMatches(part, all) ?? [""]).length === 0);
    return [match({ path: ["exclude_modules"], kind: "exclude", text: value }, found, { dead })];
  }
  return strings(value).map(([text, [i = 0]]) => {
    const found = all.filter((path) => isNamed(path, text));
    return match({ path: ["exclude_modules", i], kind: "exclude", text }, found);
  });
}

function saved(text: string, path: (string | number)[], { paths }: Known): PatternMatch {
  const found = paths.filter((each) => isSaved(each, { modules_to_save: [text] }));
  return match({ path, kind: "save", text }, found);
}

/** Keys of rank_pattern and its like speak of targets, and the first that matches decides. */
function keys(field: string, { raw, tree, chosen }: Known): PatternMatch[] {
  const value = raw[field];
  if (!isObject(value)) return [];
  const names = strings(raw["target_parameters"]).map(([name]) => name);
  const parameters = names.length > 0 ? resolveParameters(tree, names).map(({ name }) => name) : [];
  const targeted = [...chosen, ...parameters];
  const decided = new Map<string, string>();
  // AdaLoRA keeps there which ranks it has pruned, by parameters.
  const ours = Object.keys(value).filter((key) => typeof value[key] === "number");
  return ours.flatMap((key): PatternMatch[] => {
    let found: string[];
    try {
      found = targeted.filter((path) => isPatternKey(key, path, { field, file: "" }));
    } catch {
      return [];
    }
    const free = found.filter((path) => !decided.has(path));
    const [first] = found;
    const earlier = first === undefined ? undefined : decided.get(first);
    for (const path of free) decided.set(path, key);
    const isShadowed = found.length > 0 && free.length === 0 && earlier !== undefined;
    const at = { path: [field, key], kind: "key" as const, text: key };
    return [match(at, found, { chosen: free.length, ...(isShadowed && { shadowedBy: earlier }) })];
  });
}

/** Indices of layers that there are, and patterns that lead to a list of layers. */
function layers({ raw, paths }: Known): PatternMatch[] {
  const patterns = strings(raw["layers_pattern"]).filter(([text]) => text !== "");
  const named = patterns.map(([text]) => text);
  const index = (path: string, own: readonly string[]): number | null => {
    try {
      return layerIndex(path, own);
    } catch {
      return null;
    }
  };
  const value = raw["layers_to_transform"];
  const numbers = typeof value === "number" ? [value] : Array.isArray(value) ? value : [];
  return [
    ...patterns.map(([text, at]) => {
      const found = paths.filter((path) => index(path, [text]) !== null);
      return match({ path: ["layers_pattern", ...at], kind: "layers", text }, found);
    }),
    ...numbers.flatMap((layer: unknown, i): PatternMatch[] => {
      if (typeof layer !== "number") return [];
      const found = paths.filter((path) => index(path, named) === layer);
      const place = typeof value === "number" ? [] : [i];
      return [
        match(
          { path: ["layers_to_transform", ...place], kind: "layer", text: String(layer) },
          found,
        ),
      ];
    }),
  ];
}

function parameter(text: string, path: (string | number)[], { tree }: Known): PatternMatch {
  const found = parameterNames(tree).filter((name) => isChosen(name, [text]));
  return match({ path, kind: "parameter", text }, found);
}
