import { type ModuleInfo, type ModuleTree, weightName } from "../checkpoint/modules.ts";

/** A layer that an adapter puts around a module, as PEFT's `get_layer_status` lists them. */
export interface AdapterLayer {
  /** Hugging Face path of the module; token rows beside another layer have ".token_adapter" behind it. */
  readonly path: string;
  /** "tuner": the method's own; "parameter": around one that is targeted by its name; "saved": a whole copy of the module; "tokens": rows of a table. */
  readonly kind: "tuner" | "parameter" | "saved" | "tokens";
  readonly module: ModuleInfo["kind"];
}

/** PEFT's classes for a method, as its status functions spell them. */
export interface PythonNames {
  readonly model: string;
  readonly linear?: string;
  readonly embedding?: string;
  readonly norm?: string;
}

/** By `peft_type`; layers that say nothing of their method are plain "Linear". */
export const pythonNames: Readonly<Record<string, PythonNames>> = {
  ADALORA: { model: "AdaLoraModel", linear: "adalora.SVDLinear" },
  ADAMSS: { model: "AdamssModel", linear: "adamss.Linear" },
  BEFT: { model: "BeftModel", linear: "Linear" },
  BOFT: { model: "BOFTModel", linear: "boft.Linear" },
  BONE: { model: "MissModel", linear: "miss.MissLinear" },
  C3A: { model: "C3AModel", linear: "c3a.C3ALinear" },
  DEFT: { model: "DeftModel", linear: "deft.DeftLinear" },
  DELORA: { model: "DeloraModel", linear: "delora.DeloraLinear" },
  FOURIERFT: { model: "FourierFTModel", linear: "fourierft.FourierFTLinear" },
  FROD: { model: "FrodModel", linear: "frod.Linear" },
  GLORA: { model: "GloraModel", linear: "glora.GloraLinear" },
  GRALORA: { model: "GraloraModel", linear: "gralora.Linear" },
  HIRA: { model: "HiraModel", linear: "hira.Linear", embedding: "hira.Embedding" },
  HRA: { model: "HRAModel", linear: "hra.HRALinear" },
  IA3: { model: "IA3Model", linear: "Linear" },
  LILY: { model: "LilyModel", linear: "lily.Linear" },
  LN_TUNING: { model: "LNTuningModel", norm: "ln_tuning.LNTuningLayer" },
  LOHA: { model: "LoHaModel", linear: "loha.Linear" },
  LOKR: { model: "LoKrModel", linear: "lokr.Linear" },
  LORA: { model: "LoraModel", linear: "lora.Linear", embedding: "lora.Embedding" },
  MISS: { model: "MissModel", linear: "miss.MissLinear" },
  OFT: { model: "OFTModel", linear: "oft.Linear" },
  OSF: { model: "OSFModel", linear: "osf.Linear" },
  PEANUT: { model: "PeanutModel", linear: "peanut.Linear" },
  POLY: { model: "PolyModel", linear: "poly.Linear" },
  PSOFT: { model: "PsoftModel", linear: "psoft.Linear" },
  PVERA: { model: "PveraModel", linear: "pvera.Linear" },
  RANDLORA: { model: "RandLoraModel", linear: "randlora.Linear" },
  ROAD: { model: "RoadModel", linear: "road.Linear" },
  SHADOW: { model: "ShadowModel", linear: "shadow.ShadowLayer" },
  SHIRA: { model: "ShiraModel", linear: "shira.Linear" },
  SUPERTUNING: { model: "SupertuningModel", linear: "Linear" },
  TINYLORA: { model: "TinyLoraModel", linear: "tinylora.Linear", embedding: "tinylora.Embedding" },
  TRAINABLE_TOKENS: {
    model: "TrainableTokensModel",
    linear: "TrainableTokensLayer",
    embedding: "TrainableTokensLayer",
  },
  UNILORA: { model: "UniLoraModel", linear: "Linear" },
  VBLORA: { model: "VBLoRAModel", linear: "vblora.Linear" },
  VERA: { model: "VeraModel", linear: "vera.Linear" },
  WAVEFT: { model: "WaveFTModel", linear: "waveft.WaveFTLinear" },
  XLORA: { model: "XLoraModel", linear: "lora.Linear", embedding: "lora.Embedding" },
};

/** PEFT's name for a layer's class. */
export function layerType({ kind, module }: AdapterLayer, peftType: string): string {
  if (kind === "saved") return "ModulesToSaveWrapper";
  if (kind === "parameter") return "lora.ParamWrapper";
  if (kind === "tokens") return "TrainableTokensLayer";
  return pythonNames[peftType]?.[module] ?? "Linear";
}

/** The layers that an adapter puts into a model, in the model's order. */
export function adapterLayers(
  tree: ModuleTree,
  at: {
    targets: readonly ModuleInfo[];
    /** Paths under which targeted parameters are stored: those of their modules, or inner wrappers. */
    parameters?: ReadonlySet<string>;
    modulesToSave: readonly string[];
    /** Modules with rows for single tokens beside their own layer. */
    tokenTables: ReadonlySet<string>;
    /** Whole copies of a tied table stand at both of its ends. */
    tiesCopies: boolean;
  },
): AdapterLayer[] {
  const targets = new Set(at.targets.map(({ path }) => path));
  const isNamed = ({ path }: ModuleInfo): boolean =>
    at.modulesToSave.some((name) => path.endsWith(name));
  const copied = new Set(tree.modules.filter(isNamed).map(weightName));
  const isSaved = (module: ModuleInfo): boolean =>
    isNamed(module) || (at.tiesCopies && copied.has(weightName(module)));
  const paths = new Set(tree.modules.map(({ path }) => path));
  const wrappers = [...(at.parameters ?? [])].filter((path) => !paths.has(path)).reverse();
  const around = wrappers.map((path) => ({ path, kind: "parameter", module: "linear" }) as const);
  const layers = tree.modules.flatMap((module): AdapterLayer[] => {
    const { path, kind } = module;
    const own: AdapterLayer[] = [];
    if (targets.has(path)) own.push({ path, kind: "tuner", module: kind });
    else if (at.parameters?.has(path)) own.push({ path, kind: "parameter", module: kind });
    else if (isSaved(module)) own.push({ path, kind: "saved", module: kind });
    if (at.tokenTables.has(path)) {
      own.push({ path: `${path}.token_adapter`, kind: "tokens", module: kind });
    }
    return own;
  });
  return [...layers, ...around];
}
