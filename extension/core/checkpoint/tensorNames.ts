import { t } from "@vscode/l10n";
import { badFile, badRequest } from "../base/errors.ts";
import type { TensorEntry } from "../safetensors/header.ts";
import { pythonRegex, substitute } from "./pythonRegex.ts";

/**
 * How the names of each method's own parameters begin (PEFT mapping.py, PEFT_TYPE_TO_PREFIX_MAPPING,
 * and what its tuners call them); of several methods with one beginning the plainest.
 */
export const parameterMethods: Readonly<Record<string, string>> = {
  lora_: "LORA",
  ia3_: "IA3",
  hada_: "LOHA",
  lokr_: "LOKR",
  oft_: "OFT",
  boft_: "BOFT",
  vera_: "VERA",
  pvera_: "PVERA",
  hra_: "HRA",
  vblora_: "VBLORA",
  fourierft_: "FOURIERFT",
  waveft_: "WAVEFT",
  miss_: "MISS",
  bone_: "BONE",
  randlora_: "RANDLORA",
  road_: "ROAD",
  c3a_: "C3A",
  shira_: "SHIRA",
  ln_tuning_: "LN_TUNING",
  trainable_tokens_: "TRAINABLE_TOKENS",
  osf_: "OSF",
  delora_: "DELORA",
  gralora_: "GRALORA",
  tinylora_: "TINYLORA",
  psoft_: "PSOFT",
  hira_: "HIRA",
  frod_: "FROD",
  adamss_: "ADAMSS",
  deft_: "DEFT",
  glora_: "GLORA",
  peanut_: "PEANUT",
  lily_: "LILY",
  beft_: "BEFT",
  unilora_: "UNILORA",
  supertuning_: "SUPERTUNING",
  poly_: "POLY",
  adaption_: "ADAPTION_PROMPT",
};

const beginnings = Object.keys(parameterMethods).join("|");

/** A method's parameter, the adapter name behind it, and what may follow: "lora_A.pirate.weight". */
const withAdapterName = new RegExp(
  `^(.*\\.(?:${beginnings})\\w*)\\.((?!weight$|bias$)\\w[^.]*)(\\.weight|\\.bias)?$`,
);

/** The adapter name that stands in a tensor's name, where PEFT's own files have none; or null. */
export function adapterNameIn(name: string): { adapterName: string; without: string } | null {
  const [, before, adapterName, after = ""] = withAdapterName.exec(name) ?? [];
  if (before === undefined || adapterName === undefined || /^\d+$/.test(adapterName)) return null;
  return { adapterName, without: `${before}${after}` };
}

const ownParameter = new RegExp(`^(?:${beginnings})`);

/**
 * A name without the adapter's, wherever PEFT keeps that in memory: "oft_R.pirate.weight",
 * "glora_A.pirate.Xd", "adamss_A.pirate.0". Rows for single tokens are found by their plain name alone.
 */
function withoutAdapterName(name: string, adapterName: string): string {
  if (/^(\d+|weight|bias)$/.test(adapterName) || name.includes(".token_adapter.")) return name;
  const parts = name.split(".");
  const at = parts.findIndex(
    (part, i) => part === adapterName && ownParameter.test(parts[i - 1] ?? ""),
  );
  return at < 0 ? name : parts.filter((_, i) => i !== at).join(".");
}

export interface TensorNaming {
  /**
   * PEFT's key_mapping: Python pattern → replacement, tried in order on names without
   * `base_model.model.`; the first that matches counts.
   */
  readonly keyMapping?: Readonly<Record<string, string>> | undefined;
  /** Name under which the adapter is loaded: PEFT takes tensors in whose names it was left. */
  readonly adapterName?: string | undefined;
}

/**
 * A file's tensors under the names that PEFT saves them with.
 * @returns also sentences on what PEFT would have read otherwise
 * @throws bad-file when two tensors come to one name
 */
export function renameTensors(
  tensors: readonly TensorEntry[],
  { keyMapping = {}, adapterName }: TensorNaming,
  file: string,
): { tensors: TensorEntry[]; notes: string[] } {
  const mapName = nameMapper(keyMapping, file);
  const sources = new Map<string, string>();
  let strange = 0;
  const renamed = tensors.map((entry) => {
    const mapped = mapName(entry.name);
    const own = withoutAdapterName(mapped, adapterName ?? "default");
    const bare = own === mapped ? withoutAdapterName(mapped, "default") : own;
    if (own === mapped && bare !== mapped) strange++;
    // DoRA's magnitude is a module's weight in memory, and a plain tensor on disk.
    const name = bare.replace(/(\.lora_magnitude_vector)\.weight$/, "$1");
    const twin = sources.get(name);
    if (twin !== undefined) {
      throw badFile(file, t('tensors "{0}" and "{1}" both are "{2}"', twin, entry.name, name));
    }
    sources.set(name, entry.name);
    return name === entry.name ? entry : { ...entry, name };
  });
  const notes =
    strange === 0
      ? []
      : [
          t(
            'The adapter name "default" is left in the names of {0} tensors; PEFT takes them only when the adapter is loaded as "default", not as "{1}".',
            String(strange),
            String(adapterName),
          ),
        ];
  return { tensors: renamed, notes };
}

/** PEFT utils/save_and_load.load_peft_weights: prefix off, first pattern that hits, prefix on. */
function nameMapper(
  keyMapping: Readonly<Record<string, string>>,
  file: string,
): (name: string) => string {
  const rules = Object.entries(keyMapping).map(([pattern, replacement]) => ({
    regex: pythonRegex(pattern, { field: "keyMapping", file }, { flags: "g" }),
    replacement,
  }));
  if (rules.length === 0) return (name) => name;
  const map = (key: string): string => {
    for (const { regex, replacement } of rules) {
      const { text, count } = substitute(regex, replacement, key);
      if (count > 0) return text;
    }
    return key;
  };
  return (name) => {
    const prefix = /^base_model\.(model\.)?/.exec(name)?.[0] ?? "";
    const mapped = prefix + map(name.slice(prefix.length));
    if (/^base_model\./.test(mapped)) return mapped;
    throw badRequest(
      t(
        '{0}: tensor "{1}" does not begin with "base_model.", and keyMapping makes it "{2}". Map it to a name that begins with "base_model.model.".',
        file,
        name,
        mapped,
      ),
    );
  };
}
