/**
 * The targets of a LoRA config on a base whose experts are parameters now: what names an expert's
 * layer or the router chooses its parameter (PEFT utils/transformers_weight_conversion.py,
 * _convert_peft_config_moe). A regex and "all-linear" become lists of last names first.
 */
import { t } from "@vscode/l10n";
import { GraftError } from "../../base/errors.ts";
import { containerPaths, type ModuleTree } from "../../checkpoint/modules.ts";
import { parameterNames } from "../../checkpoint/parameters.ts";
import { pathMatcher } from "../../checkpoint/targets.ts";
import type { LoraConfig } from "../loraConfig.ts";
import type { MethodBase } from "../method.ts";
import { fusedNames, type OlderNames, olderNames } from "./fusedNames.ts";

/** An older name and the parameter that it is, or is a part of, now. */
type Translation = readonly (readonly [older: string, parameter: string])[];

/**
 * The config as PEFT reads it for the base.
 * @throws bad-file where PEFT refuses the targets
 */
export function fusedTargets(config: LoraConfig, base: MethodBase, file: string): LoraConfig {
  const older = olderNames[base.modelType];
  if (!older?.translatesTargets) return config;
  const translation = translationOf(older);
  const named = namedTargets(config, base.tree, { translation, file });
  if (named === null) return config;
  const parameters = new Set(config.target_parameters);
  const translated = new Set<string>();
  const modules: string[] = [];
  for (const target of named) {
    const own = translation.find(([name]) => target === name || target.endsWith(`.${name}`));
    if (!own) modules.push(target);
    else {
      translated.add(own[0]);
      parameters.add(own[1]);
    }
  }
  if (modules.length + parameters.size === 0) throw noTargets(base.modelType, file);
  const fields = { target_modules: modules, target_parameters: [...parameters] };
  const pair = [older.gate, older.up];
  const missing = pair.filter((name) => !translated.has(name));
  if (missing.length === 2) return { ...config, ...fields };
  if (missing.length === 1) throw halfTarget(pair, missing, file);
  // Both halves keep their rank, so the fused parameter has twice theirs, and twice the alpha.
  const key = String.raw`.*\.${fusedNames.gateUp}`;
  return {
    ...config,
    ...fields,
    rank_pattern: { ...config.rank_pattern, [key]: 2 * config.r },
    alpha_pattern: { ...config.alpha_pattern, [key]: 2 * config.lora_alpha },
  };
}

/** In the order in which PEFT tries them. */
function translationOf({ gate, up, down }: OlderNames): Translation {
  return [
    ["gate", fusedNames.router],
    [gate, fusedNames.gateUp],
    [up, fusedNames.gateUp],
    [down, fusedNames.down],
  ];
}

/** The targets as a list of names; null where a regex matches nothing and stays as it is. */
function namedTargets(
  config: LoraConfig,
  tree: ModuleTree,
  { translation, file }: { translation: Translation; file: string },
): readonly string[] | null {
  const { target_modules: targets } = config;
  if (typeof targets !== "string") return targets ?? [];
  const isAll = targets.toLowerCase() === "all-linear";
  const matches = pathMatcher(tree, {
    targetModules: isAll ? "all-linear" : targets,
    excludeModules: isAll ? null : config.exclude_modules,
    modulesToSave: isAll ? [] : config.modules_to_save,
    layersToTransform: null,
    layersPattern: null,
    file,
  });
  const paths = tree.modules.map(({ path }) => path);
  // Experts and routers were linear layers before.
  if (isAll) return lastNames([...paths.filter(matches), ...translation.map(([name]) => name)]);
  const stacks = (tree.experts ?? []).map(({ path }) => path);
  const parameters = parameterNames(tree);
  const keys = [...paths, ...stacks, ...containerPaths(tree), ...parameters];
  const older = translation
    .filter(([name, parameter]) =>
      stacks.some(
        (stack) => parameters.includes(`${stack}.${parameter}`) && matches(`${stack}.${name}`),
      ),
    )
    .map(([name]) => name);
  const found = lastNames([...keys.filter(matches), ...older]);
  return found.length === 0 ? null : found;
}

function lastNames(paths: readonly string[]): string[] {
  return [...new Set(paths.map((path) => path.slice(path.lastIndexOf(".") + 1)))];
}

function noTargets(modelType: string, file: string): GraftError {
  return badTargets(
    file,
    t(
      "names no module. For {0} PEFT's default targets do not work with transformers 5, so it does not load such an adapter either",
      modelType,
    ),
  );
}

function halfTarget(pair: readonly string[], missing: readonly string[], file: string): GraftError {
  const present = pair.filter((name) => !missing.includes(name));
  return badTargets(
    file,
    t(
      "names {0} of the experts without {1}: both are parts of {2}, and PEFT converts them only together",
      present.join(),
      missing.join(),
      fusedNames.gateUp,
    ),
  );
}

function badTargets(file: string, problem: string): GraftError {
  const field = "target_modules";
  return new GraftError("bad-file", t('{0}: field "{1}" {2}.', file, field, problem), {
    file,
    field,
  });
}
