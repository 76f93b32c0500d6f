import { t } from "@vscode/l10n";
import type { AdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import { type AdapterConfig, methodLabels } from "./checkpoint/adapterConfig.ts";
import { layerIndex } from "./checkpoint/modules.ts";
import { adapterNameIn, parameterMethods } from "./checkpoint/tensorNames.ts";
import { type ModuleIndex, moduleIndex, plainSegments } from "./moduleIndex.ts";
import type { BindReport, MethodBase } from "./peft/method.ts";
import { namesSome } from "./peft/names.ts";

/** Most reasons worth reading; more than that is one file of many kinds of errors. */
const most = 3;

/** The likely reasons why tensors or modules found no place, the commonest first; none when all did. */
export function bindReasons(
  { config, weights }: AdapterCheckpoint,
  { unbound, unexpected }: BindReport,
  base: MethodBase,
): string[] {
  if (unbound.length + unexpected.length === 0) return [];
  if (weights.tensors.length === 0) return [t("Likely reason: the file holds no tensor.")];
  const index = moduleIndex(base.tree);
  const found = new Map<string, string[]>();
  const add = (reason: string, name: string): void => {
    found.set(reason, [...(found.get(reason) ?? []), name]);
  };
  for (const name of unexpected) {
    for (const rule of rules) {
      const reason = rule(name, { config, index, unbound, base });
      if (reason === null) continue;
      add(reason, name);
      break;
    }
  }
  if (unexpected.length === 0) add(missingReason(unbound, config.raw, index), unbound[0] ?? "");
  return [...found]
    .sort(([, a], [, b]) => b.length - a.length)
    .slice(0, most)
    .map(([reason, names]) =>
      t("Likely reason: {0}.", reason.replace("{names}", namesSome(names, 2))),
    );
}

interface Known {
  readonly config: AdapterConfig;
  readonly index: ModuleIndex;
  readonly unbound: readonly string[];
  readonly base: MethodBase;
}

type Rule = (name: string, known: Known) => string | null;

/** The first that knows a name decides. */
const rules: readonly Rule[] = [
  toolReason,
  absentReason,
  adapterNameReason,
  methodReason,
  prefixReason,
  layerReason,
  renamedReason,
  targetReason,
  familyReason,
];

function toolReason(name: string): string | null {
  return /(^|[._])lora_(down|up)\b|^lora_(unet|te\d?)_|\.alpha$/.test(name)
    ? t(
        "the tensors are named as kohya's and diffusers' tools do, not as PEFT; convert the adapter first",
      )
    : null;
}

function absentReason(name: string, { base }: Known): string | null {
  return base.absent?.some((path) => name.includes(`.${path}.`))
    ? t("the layers of {names} were not found in the ONNX export, whose report says why")
    : null;
}

function adapterNameReason(name: string, { index }: Known): string | null {
  const left = adapterNameIn(name);
  if (!left || !index.moduleOf(left.without)) return null;
  const { adapterName } = left;
  return t(
    'the adapter name "{0}" is left in the tensors\' names; load it as "{1}" (adapterName), as PEFT would have to',
    adapterName,
    adapterName,
  );
}

/** Types whose own tensors begin like those of another one. */
const relatives: Readonly<Record<string, string>> = {
  ADALORA: "LORA",
  XLORA: "LORA",
  SHADOW: "LORA",
  BONE: "MISS",
  SUPERTUNING: "SUPERTUNING",
};

function methodReason(name: string, { config: { peftType } }: Known): string | null {
  const label = (type: string): string => methodLabels[type] ?? type;
  if (/^prompt_embeddings$|^prefix_task_/.test(name)) {
    return t("the file holds a prompt's tensors ({names}), the config says {0}", label(peftType));
  }
  const own = relatives[peftType] ?? peftType;
  for (const part of name.split(".")) {
    const beginning = Object.keys(parameterMethods).find((each) => part.startsWith(each));
    const method = beginning && parameterMethods[beginning];
    if (!method || method === own || method === "TRAINABLE_TOKENS") continue;
    return t(
      "these are tensors of {0} ({names}), the config says {1}",
      label(method),
      label(peftType),
    );
  }
  return null;
}

/** Parts of names that some versions of transformers have in front of a text model and others not. */
const movedParts = /language_model|text_model/;

function prefixReason(name: string, { index }: Known): string | null {
  if (!name.startsWith("base_model.")) {
    const whole = `base_model.model.${name}`;
    if (!index.moduleOf(whole) && !index.isInside(whole)) return otherHead(name, name, index);
    return t(
      'the names lack PEFT\'s "base_model.model." in front; keyMapping {"^": "base_model.model."} adds it',
    );
  }
  const plain = plainSegments(name).join(".");
  if (plain.startsWith("base_model.model.") && index.moduleOf(plain)) {
    return t(
      'PEFT\'s "base_model.model." is twice in the names; keyMapping {"^base_model\\\\.model\\\\.": ""} takes one away',
    );
  }
  return otherHead(name, plain, index);
}

function otherHead(name: string, plain: string, index: ModuleIndex): string | null {
  const place = index.placeOf(plain);
  if (!place || place.head === place.ownHead) return null;
  const { head, ownHead } = place;
  const why = movedParts.test(head + ownHead)
    ? t(", as other versions of transformers name them")
    : "";
  const full = name === plain ? `base_model.model.${ownHead}` : ownHead;
  const pattern = `^${head.replaceAll(".", "\\\\.")}`;
  return t(
    'the tensors stand under "{0}", this base\'s modules under "{1}"{2}; keyMapping {3} leads them there',
    head,
    ownHead,
    why,
    `{"${pattern}": "${full}"}`,
  );
}

function layerReason(name: string, { index, base }: Known): string | null {
  const plain = plainSegments(name).join(".");
  const layer = layerIndex(plain);
  const { layers } = base.attention;
  if (layer === null || layer < layers) return null;
  if (!index.moduleOf(plain.replace(`.${layer}.`, ".0."))) return null;
  return t("the adapter was made for a base with more layers: this one has {0} ({names})", layers);
}

/** How modules were called before version 5 of transformers, and by what they are replaced. */
const formerNames: readonly [former: RegExp, now: string][] = [
  [/\.block_sparse_moe\./, "mlp"],
  [/\bembed_out\b/, "lm_head"],
  [/\.attention\.attention\.(query|key|value)\b/, t("attention.q_proj, k_proj and v_proj")],
  [
    /\.experts\.\d+\.(w[123]|(gate|up|down)_proj)\b/,
    t("experts.gate_up_proj and experts.down_proj"),
  ],
];

function renamedReason(name: string): string | null {
  for (const [former, now] of formerNames) {
    const match = former.exec(name)?.[0];
    if (match === undefined) continue;
    return t(
      'older versions of transformers call modules "{0}", which are "{1}" now ({names})',
      match.replace(/^\.|\.$/g, ""),
      now,
    );
  }
  return null;
}

function targetReason(name: string, { index, unbound, config }: Known): string | null {
  const module = index.moduleOf(name);
  if (module === null) return null;
  if (unbound.includes(module)) {
    const option = ["use_dora", "lora_bias"].find((each) => config.raw[each] === true);
    if (option) return t("the config says {0}, and its tensors are missing for {names}", option);
    return t(
      "modules have some of their tensors and not all, so the file is incomplete or its config is another one's ({names})",
    );
  }
  return t(
    "the config does not choose modules that the file has tensors for, so it is not the one they were saved with ({names})",
  );
}

function familyReason(name: string): string | null {
  const parts = plainSegments(name);
  if (parts.length < 3) return null;
  return t(
    "the adapter was made for another model family: this base has no such modules ({names})",
  );
}

/** Why modules have no tensors at all, when every tensor found its place. */
function missingReason(
  unbound: readonly string[],
  raw: Readonly<Record<string, unknown>>,
  index: ModuleIndex,
): string {
  if (raw["use_dora"] === true) return t("the config says use_dora, and magnitudes are missing");
  const layers = index.layersOf(unbound);
  const [first = -1] = layers;
  const isTail = first > 0 && layers.length === index.lastLayer - first + 1;
  if (isTail && index.isWhole(unbound)) {
    return t("the adapter was made for a base with {0} layers, or saved incompletely", first);
  }
  return t(
    "the file was saved incompletely, or its config names more modules than it was trained with",
  );
}
