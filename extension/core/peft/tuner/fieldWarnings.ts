import { t } from "@vscode/l10n";
import type { AdapterConfig } from "../../checkpoint/adapterConfig.ts";
import { containerPaths, type ModuleInfo, weightName } from "../../checkpoint/modules.ts";
import { fullMatch, isPatternKey } from "../../checkpoint/targets.ts";
import type { MethodBase } from "../method.ts";
import { namesSome } from "../names.ts";
import type { TunerConfig } from "./config.ts";
import { isSaved } from "./wholeParameters.ts";

/** Fields that have no effect on this base: PEFT warns of these, or passes them over. */
export function fieldWarnings(
  config: TunerConfig,
  { raw, file }: AdapterConfig,
  at: {
    targets: readonly ModuleInfo[];
    /** Names of parameters that are targeted themselves. */
    parameters: readonly string[];
    base: MethodBase;
  },
): string[] {
  const { targets, base } = at;
  const names = [...targets.map(({ path }) => path), ...at.parameters];
  const warnings = targetWarnings(config, { targets, base });
  for (const field of ["rank_pattern", "alpha_pattern"]) {
    const keys = Object.entries((raw[field] ?? {}) as object);
    const idle = keys
      .filter(([, value]) => typeof value === "number")
      .filter(([key]) => !names.some((name) => isPatternKey(key, name, { field, file })))
      .map(([key]) => key);
    if (idle.length > 0) {
      warnings.push(
        t('Field "{0}" has keys that match no targeted module: {1}.', field, namesSome(idle)),
      );
    }
  }
  if (excludesNothing(config, base, file)) {
    warnings.push(t('Field "exclude_modules" matches no module of this base.'));
  }
  if (changesOneEnd(config, { targets, base })) {
    warnings.push(
      t(
        "The base's head and embeddings are one tensor, and the adapter changes one of them: as in PEFT without ensure_weight_tying they are no longer tied under it.",
      ),
    );
  }
  if (raw["fan_in_fan_out"] === true && targets.some(isPlainLinear(base))) {
    warnings.push(
      t(
        'Field "fan_in_fan_out" is true; this base\'s layers are not stored so, as in PEFT it counts as false.',
      ),
    );
  }
  return warnings;
}

/** Names that choose nothing on this base, and targets that the config leaves to PEFT. */
function targetWarnings(
  { target_modules: named, modules_to_save: saved }: TunerConfig,
  { targets, base }: { targets: readonly ModuleInfo[]; base: MethodBase },
): string[] {
  const warnings: string[] = [];
  const paths = base.tree.modules.map(({ path }) => path);
  const warn = (field: string, idle: readonly string[]): void => {
    if (idle.length === 0) return;
    warnings.push(
      t('Field "{0}" names what this base does not have: {1}.', field, namesSome(idle)),
    );
  };
  if (named === null && targets.length > 0) {
    warnings.push(
      t(
        'Field "target_modules" is empty; PEFT\'s default for {0} is used: {1} modules.',
        base.modelType,
        targets.length,
      ),
    );
  }
  if (Array.isArray(named)) {
    const isThere = (name: string): boolean =>
      paths.some((path) => path === name || path.endsWith(`.${name}`));
    warn(
      "target_modules",
      named.filter((name) => !isThere(name)),
    );
  }
  const isSomewhere = (name: string): boolean =>
    paths.some((path) => isSaved(path, { modules_to_save: [name] }));
  warn(
    "modules_to_save",
    saved.filter((name) => !isSomewhere(name)),
  );
  return warnings;
}

function excludesNothing(
  { exclude_modules: excluded }: TunerConfig,
  { tree }: MethodBase,
  file: string,
): boolean {
  if (excluded === null || excluded.length === 0) return false;
  const paths = [...tree.modules.map(({ path }) => path), ...containerPaths(tree)];
  if (typeof excluded === "string") {
    const pattern = fullMatch(excluded, "exclude_modules", file);
    return !paths.some((path) => pattern.test(path));
  }
  return !paths.some((path) => excluded.some((name) => path === name || path.endsWith(`.${name}`)));
}

/** PEFT tuners_utils._check_tied_modules. */
function changesOneEnd(
  config: TunerConfig,
  { targets, base }: { targets: readonly ModuleInfo[]; base: MethodBase },
): boolean {
  if (config["ensure_weight_tying"] === true) return false;
  const { modules } = base.tree;
  const uses = new Map<string, number>();
  for (const module of modules) {
    uses.set(weightName(module), (uses.get(weightName(module)) ?? 0) + 1);
  }
  const isTied = (module: ModuleInfo): boolean => (uses.get(weightName(module)) ?? 0) > 1;
  const chosen = new Set(targets.map(({ path }) => path));
  return modules.some(
    (module) => isTied(module) && (chosen.has(module.path) || isSaved(module.path, config)),
  );
}

/** GPT-2 alone keeps its weights as [in, out]. */
function isPlainLinear({ modelType }: MethodBase): (module: ModuleInfo) => boolean {
  return ({ kind }) => kind === "linear" && modelType !== "gpt2";
}
