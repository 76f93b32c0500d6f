/**
 * What all prompt methods share: a file with a few tensors that belong to no module, and a config
 * that says what they were trained for. A method file says only what its tensors are and do.
 */
import { t } from "@vscode/l10n";
import type { z } from "zod";
import { dtypeLabel } from "../../base/dtype.ts";
import { misfit } from "../../base/errors.ts";
import { parseFields } from "../../base/json.ts";
import {
  elementCount,
  isSameShape,
  type Shape,
  showShape,
  totalElements,
} from "../../base/shape.ts";
import { type AdapterCheckpoint, plainTensorName } from "../../checkpoint/adapterCheckpoint.ts";
import type { AdapterConfig } from "../../checkpoint/adapterConfig.ts";
import type { TensorEntry } from "../../safetensors/header.ts";
import type { AdapterEffects } from "../effect.ts";
import type {
  BindReport,
  FieldInfo,
  LoadedWeights,
  Method,
  MethodBase,
  ParameterCounts,
} from "../method.ts";
import { type WholeParameter, wholeParameters } from "../tuner/wholeParameters.ts";
import { valueWarnings, wholeEffects } from "../tuner/growingEffects.ts";
import { floats, type ModuleTensors, readEntries, tensorsOf } from "../tuner/tensors.ts";

/** What the shared part reads of a prompt method's config. */
type AnyPromptConfig = Readonly<Record<string, unknown>> & { readonly modules_to_save?: string[] };

export interface PromptContext<C> {
  readonly config: C;
  /** The config file, for messages. */
  readonly file: string;
  readonly base: MethodBase;
}

export interface Prompt<C extends AnyPromptConfig> {
  readonly peftType: string;
  readonly schema: z.ZodType<C>;
  readonly fields: Readonly<Record<string, FieldInfo>>;
  /** Refuses options, by name, that this version does not run. */
  check?(config: C, raw: AdapterConfig): void;
  /**
   * Names and shapes of the tensors that the file must have.
   * @throws misfit when the config was made for a base of another size
   */
  tensors(context: PromptContext<C>): Readonly<Record<string, Shape>>;
  effects(context: PromptContext<C>, tensors: ModuleTensors): Promise<Partial<AdapterEffects>>;
  /** Where PEFT's counts of the prompt are not the number of its stored values. */
  counts?(context: PromptContext<C>, stored: number): Partial<ParameterCounts>;
  warnings?(config: C): string[];
}

/** Makes a method of a prompt's description. */
export function promptMethod<C extends AnyPromptConfig>(prompt: Prompt<C>): Method {
  const parse = (config: AdapterConfig): C => {
    const fields = parseFields(prompt.schema, config.raw, config.file);
    prompt.check?.(fields, config);
    return fields;
  };
  return {
    peftType: prompt.peftType,
    fields: prompt.fields,
    schema: prompt.schema,
    check: (config) => void parse(config),
    rank: () => null,
    summarize: ({ weights }) => weights.tensors.map(summarize),
    bind: (adapter, base) => bind(prompt, parse(adapter.config), { adapter, base }).report,
    load: (adapter, base, signal) => load(prompt, parse(adapter.config), { adapter, base, signal }),
  };
}

function summarize({ name, shape, dtype }: TensorEntry): ReturnType<Method["summarize"]>[number] {
  const common = { rank: null, alpha: null, scaling: null, shape: null };
  return {
    path: plainTensorName(name),
    parameters: elementCount(shape),
    dtype: dtypeLabel(dtype),
    ...common,
  };
}

interface At {
  readonly adapter: AdapterCheckpoint;
  readonly base: MethodBase;
  readonly signal?: AbortSignal | undefined;
}

interface PromptBinding {
  readonly report: BindReport;
  readonly own: ReadonlyMap<string, TensorEntry>;
  readonly whole: readonly WholeParameter[];
}

function bind<C extends AnyPromptConfig>(prompt: Prompt<C>, config: C, at: At): PromptBinding {
  const { adapter, base } = at;
  const { file } = adapter.config;
  const shapes = prompt.tensors({ config, file, base });
  const own = new Map<string, TensorEntry>();
  const others = new Map<string, TensorEntry>();
  for (const entry of adapter.weights.tensors) {
    const wanted = shapes[entry.name];
    if (!wanted) {
      // PEFT keeps a prompt's base directly in `base_model`, so that modules follow it.
      others.set(entry.name.replace(/^base_model\./, ""), entry);
      continue;
    }
    if (!isSameShape(entry.shape, wanted)) {
      throw misfit(
        t(
          '{0}: tensor "{1}" is {2}, config and base ask for {3}.',
          adapter.weights.file,
          entry.name,
          showShape(entry.shape),
          showShape(wanted),
        ),
        { file: adapter.weights.file, tensor: entry.name },
      );
    }
    own.set(entry.name, entry);
  }
  const { whole, strangers } = wholeParameters(
    { modules_to_save: config.modules_to_save ?? [], bias: "none" },
    others,
    { adapter, base },
  );
  const names = Object.keys(shapes);
  const report = {
    total: names.length,
    bound: [...own.keys()].map(plainTensorName),
    unbound: names.filter((name) => !own.has(name)),
    unexpected: strangers,
  };
  return { report, own, whole };
}

async function load<C extends AnyPromptConfig>(
  prompt: Prompt<C>,
  config: C,
  at: At,
): Promise<LoadedWeights> {
  const { adapter, base, signal } = at;
  const { file } = adapter.weights;
  const { own, whole, report } = bind(prompt, config, at);
  if (report.unbound.length > 0) {
    throw misfit(t("{0} has no tensor {1}.", file, report.unbound.join(", ")), { file });
  }
  const entries = [...own.values(), ...whole.map(({ entry }) => entry)];
  const values = await readEntries(entries, file, signal);
  const replaced = new Map(
    whole.map(({ module, parameter, entry }) => [
      `${module.path}.${parameter}`,
      floats(values, entry, file),
    ]),
  );
  const context = { config, file: adapter.config.file, base };
  const effects = {
    ...(await wholeEffects(whole, replaced, base)),
    ...(await prompt.effects(context, tensorsOf(own, values, file))),
  };
  const counts = countsOf(prompt, context, {
    prompts: totalElements([...own.values()]),
    heads: totalElements(whole.map(({ entry }) => entry)),
  });
  return {
    effects,
    parameters: counts.trained,
    counts,
    layers: [],
    warnings: [...(prompt.warnings?.(config) ?? []), ...valueWarnings(values, effects)],
  };
}

/** A prompt may count in its own way; modules that are stored whole beside it count as they are. */
function countsOf<C extends AnyPromptConfig>(
  prompt: Prompt<C>,
  context: PromptContext<C>,
  { prompts, heads }: { prompts: number; heads: number },
): ParameterCounts {
  const own = prompt.counts?.(context, prompts);
  const count = (kind: keyof ParameterCounts): number => (own?.[kind] ?? prompts) + heads;
  return {
    trained: count("trained"),
    trainable: count("trainable"),
    alwaysTrainable: count("alwaysTrainable"),
    added: count("added"),
    stored: count("stored"),
  };
}
