/** Host ⇄ engine: what an adapter_config.json in an editor says, held against base and weights. */

import type { ErrorCode } from "../core/base/errors.ts";

export interface DescribeConfigParams {
  /** The file's path; weights are looked for in its folder. */
  path: string;
  /** The text as the editor has it, saved or not. */
  text: string;
  /** Folder of a base that stands in where the text leads to none: a remembered or the loaded one. */
  standIn?: string;
}

/** A string, key or number of the config that chooses modules, and what it chooses. */
export interface ConfigPattern {
  /** Where it stands: ["target_modules", 0], ["rank_pattern", "q_proj"]. */
  path: (string | number)[];
  kind: "target" | "regex" | "exclude" | "save" | "key" | "layer" | "layers" | "parameter";
  text: string;
  /** Modules that it means, and the first few of them. */
  count: number;
  first: string[];
  /** Of a target, how many remain after exclude_modules and layers_to_transform. */
  chosen: number;
  /** The linear layers inside, of a target that is a container of modules. */
  inner: string[];
  /** An earlier key that already decides every module of this one. */
  shadowedBy?: string;
  /** Alternatives of a regex that match nothing, by their place in the text. */
  dead: { text: string; start: number; end: number }[];
}

export interface ConfigBase {
  path: string;
  name: string;
  modelType: string;
  dtype: string;
  parameters: number;
  /** Rows of its token embedding; 0 where it has none. */
  vocabulary: number;
  layers: number;
  /** Whose it is: the text leads to it, or it stands in. */
  via: "named" | "standIn";
  /** Hugging Face paths; those that "all-linear" leaves out too. */
  modules: { path: string; kind: "linear" | "embedding" | "norm"; in: number; out: number }[];
  /** Paths of parameters that target_parameters can name. */
  parameterNames: string[];
  /** True where Graft does not know the family: names are those of its tensors. */
  isGuess: boolean;
}

export interface ConfigRank {
  module: string;
  stored: number;
  configured: number;
  /** The key of rank_pattern that says so; null where `r` does. */
  key: string | null;
}

/** Facts that diagnostics, hovers and completions are made of. */
export interface ConfigFacts {
  base: ConfigBase | null;
  /** Why the base that is named cannot be described; "" when it can, or none is. */
  baseProblem: string;
  /** Where the base was looked for, when it was not found. */
  tried: string[];
  patterns: ConfigPattern[];
  weights:
    | { kind: "present"; file: string; tensors: number }
    | { kind: "missing"; file: string }
    | { kind: "broken"; file: string; message: string };
  /** The method that the tensors are of, as `peft_type` spells it; null where they do not tell. */
  storedType: string | null;
  /** Modules whose tensors have another rank than the config gives them, and of how many. */
  /** `stored` is the one rank of all tensors; null where they have several or none. */
  ranks: { differing: ConfigRank[]; known: number; stored: number | null };
  /** A tensor with a row a token that has another number of them than the base. */
  vocabulary: { tensor: string; module: string; stored: number; base: number } | null;
  /** What loading would refuse, in its own words. */
  problem: { code: ErrorCode; message: string; field: string | null; needsBase: boolean } | null;
  /** How the adapter binds to the base; null where that is not known. */
  fit: { bound: number; total: number; reasons: string[] } | null;
}

export interface BaseCandidate {
  path: string;
  /** What to write: an id, or a path. */
  value: string;
  name: string;
  modelType: string;
  bound: number;
  total: number;
  fits: boolean;
}

export type ConfigContract = {
  /** Methods of which Graft trains new adapters, as `peft_type` spells them; the usual one first. */
  trainableMethods: { params: null; result: string[] };
  describeConfig: { params: DescribeConfigParams; result: ConfigFacts };
  /** Bases among some folders, those that the adapter fits best first. */
  rankBases: {
    params: { path: string; text: string; bases: string[] };
    result: BaseCandidate[];
  };
};
