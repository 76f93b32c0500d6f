import { t } from "@vscode/l10n";
import { GraftError } from "../base/errors.ts";
import { pythonRegex } from "./pythonRegex.ts";
import { containerPaths, layerIndex, type ModuleInfo, type ModuleTree } from "./modules.ts";

/** The fields by which an adapter chooses its modules; PEFT: tuners_utils.check_target_module_exists. */
export interface TargetFields {
  readonly targetModules: string | readonly string[] | null;
  readonly excludeModules: string | readonly string[] | null;
  readonly layersToTransform: number | readonly number[] | null;
  readonly layersPattern: string | readonly string[] | null;
  readonly modulesToSave: readonly string[];
  /** The config file, for messages. */
  readonly file: string;
}

/**
 * Modules that the fields choose, in the model's order.
 * @throws when a regular expression is broken, or a target is a container that no method can replace
 */
export function resolveTargets(tree: ModuleTree, fields: TargetFields): ModuleInfo[] {
  const isTarget = pathMatcher(tree, fields);
  const targets = tree.modules.filter((module) => isTarget(module.path));
  for (const container of containerPaths(tree)) {
    // A regex or "all-linear" that also matches containers is meant for the leaves below them.
    if (Array.isArray(fields.targetModules) && isTarget(container)) {
      throw new GraftError(
        "unsupported",
        t(
          '{0}: field "target_modules" names {1}, which contains other modules. Name the linear layers inside it.',
          fields.file,
          container,
        ),
        { file: fields.file, field: "target_modules" },
      );
    }
  }
  const bare = [
    ...targets.filter((module) => module.kind === "linear" && module.isParameter),
    ...(tree.experts ?? []).filter(({ path }) => isTarget(path)),
  ];
  for (const { path } of bare) {
    throw new GraftError(
      "unsupported",
      t(
        '{0}: field "target_modules" chooses {1}, which is no linear layer but holds parameters of its own; PEFT changes them only where LoRA\'s target_parameters names them.',
        fields.file,
        path,
      ),
      { file: fields.file, field: "target_modules" },
    );
  }
  return targets;
}

/** Do the fields choose a path? Also for paths of modules that contain others. */
export function pathMatcher(tree: ModuleTree, fields: TargetFields): (path: string) => boolean {
  const isExcluded = exclusionMatcher(fields);
  const { targetModules } = fields;
  if (targetModules === "all-linear") {
    const linear = new Set(
      tree.modules
        .filter((module) => module.kind === "linear" && !module.isParameter && !module.kernel)
        .filter((module) => module.path !== tree.outputEmbedding)
        .map((module) => module.path),
    );
    return (path) => linear.has(path) && !isExcluded(path);
  }
  if (typeof targetModules === "string") {
    const pattern = fullMatch(targetModules, "target_modules", fields.file);
    return (path) => pattern.test(path) && !isExcluded(path);
  }
  const names = targetModules ?? [];
  const isChosenLayer = layerMatcher(fields);
  return (path) =>
    !isExcluded(path) &&
    (names.includes(path) ||
      (names.some((name) => path.endsWith(`.${name}`)) && isChosenLayer(path)));
}

function exclusionMatcher(fields: TargetFields): (path: string) => boolean {
  const { excludeModules: excluded, modulesToSave, file } = fields;
  const saved = modulesToSave.map((name) =>
    pythonRegex(`(?:.*\\.)?${name}(?:$|\\..*)`, { field: "modules_to_save", file }, fromStart),
  );
  const isExcluded =
    typeof excluded === "string"
      ? matches(fullMatch(excluded, "exclude_modules", file))
      : (path: string) =>
          (excluded ?? []).some((name) => path === name || path.endsWith(`.${name}`));
  return (path) => isExcluded(path) || saved.some((pattern) => pattern.test(path));
}

function layerMatcher({
  layersToTransform,
  layersPattern,
}: TargetFields): (path: string) => boolean {
  const layers = typeof layersToTransform === "number" ? [layersToTransform] : layersToTransform;
  if (layers === null || layers.length === 0) return () => true;
  const patterns = typeof layersPattern === "string" ? [layersPattern] : (layersPattern ?? []);
  return (path) => {
    const index = layerIndex(
      path,
      patterns.filter((pattern) => pattern !== ""),
    );
    return index !== null && layers.includes(index);
  };
}

/**
 * The first pattern that matches decides, in file order; PEFT: utils/other.get_pattern_key.
 * @returns the pattern's value, or undefined when none matches
 */
export function matchPattern<T>(
  patterns: Readonly<Record<string, T>>,
  path: string,
  place: { field: string; file: string },
): T | undefined {
  for (const [key, value] of Object.entries(patterns)) {
    if (isPatternKey(key, path, place)) return value;
  }
  return undefined;
}

/** Does a key of a pattern field speak of this module? PEFT: re.match(rf"(.*\.)?({key})$", path). */
export function isPatternKey(
  key: string,
  path: string,
  place: { field: string; file: string },
): boolean {
  const known = patternKeys.get(key);
  if (known) return known.test(path);
  const pattern = pythonRegex(`(?:.*\\.)?(?:${key})$`, place, fromStart);
  if (patternKeys.size >= mostPatternKeys) patternKeys.clear();
  patternKeys.set(key, pattern);
  return pattern.test(path);
}

/** Keys that were compiled before: each is asked of every module, and configs have hundreds of both. */
const patternKeys = new Map<string, RegExp>();
const mostPatternKeys = 2000;

/** PEFT's re.match: a pattern holds from the start of the name on. */
const fromStart = { wrap: (pattern: string) => `^(?:${pattern})` };

/** A Python pattern that must match a whole path; PEFT: re.fullmatch. */
export function fullMatch(pattern: string, field: string, file: string): RegExp {
  return pythonRegex(pattern, { field, file }, { wrap: (whole) => `^(?:${whole})$` });
}

function matches(pattern: RegExp): (path: string) => boolean {
  return (path) => pattern.test(path);
}
