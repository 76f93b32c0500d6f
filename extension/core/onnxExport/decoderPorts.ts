import { t } from "@vscode/l10n";
import { unsupported } from "../base/errors.ts";
import { isObject, type JsonObject } from "../base/json.ts";
import type { DecoderPort, DecoderPorts, PastPort } from "../models/decoderPorts.ts";
import type { Graph, OnnxType, Port } from "../onnx/graph.ts";

/** Sizes of attention where a graph leaves them open. */
export interface CacheSizes {
  readonly keyValueHeads: number;
  readonly headDim: number;
}

/** Names of a decoder's inputs, as genai_config.json gives them; the usual ones without it. */
export interface PortNames {
  readonly tokens: string;
  readonly mask: string;
  readonly positions: string;
}

const usual: PortNames = {
  tokens: "input_ids",
  mask: "attention_mask",
  positions: "position_ids",
};

/** The names in `model.decoder.inputs` of a genai_config.json. */
export function portNames(genai: JsonObject | null): PortNames {
  const step = (value: unknown, key: string): unknown => (isObject(value) ? value[key] : undefined);
  const inputs = step(step(step(genai, "model"), "decoder"), "inputs");
  const name = (key: string): string => {
    const own = step(inputs, key);
    return typeof own === "string" ? own : key;
  };
  return {
    tokens: name(usual.tokens),
    mask: name(usual.mask),
    positions: name(usual.positions),
  };
}

const integers = new Set<OnnxType>(["int64", "int32"]);

/**
 * What the inputs and outputs of an exported decoder are for, by their names.
 * @throws unsupported for an input that Graft cannot fill, or a decoder without a cache
 */
export function decoderPorts(
  { inputs, outputs, nodes }: Graph,
  { names, sizes, file }: { names: PortNames; sizes: CacheSizes | null; file: string },
): DecoderPorts {
  const take = (name: string): DecoderPort | null => {
    const port = inputs.find((each) => each.name === name);
    if (port && !integers.has(port.type)) {
      throw unsupported(
        t('{0}: the input "{1}" is {2}; Graft feeds integers', file, name, port.type),
      );
    }
    return port ? { name: port.name, type: port.type } : null;
  };
  const tokens = take(names.tokens);
  if (!tokens) {
    const own = inputs.map(({ name }) => name).join(", ");
    throw unsupported(
      t('{0}: it has no input "{1}" for tokens, only {2}', file, names.tokens, own),
    );
  }
  const mask = take(names.mask);
  const maskRank = inputs.find(({ name }) => name === names.mask)?.shape.length ?? 2;
  if (maskRank > 2) {
    throw unsupported(
      t("{0}: its attention mask has {1} dimensions; Graft feeds two", file, maskRank),
    );
  }
  const past = pastPorts(inputs, outputs, { sizes, file });
  const used = new Set([tokens.name, mask?.name, ...past.map(({ name }) => name)]);
  const positions = take(names.positions);
  used.add(positions?.name);
  const rest = inputs.filter(({ name }) => !used.has(name));
  const useCache = rest.find(({ name, type }) => name === "use_cache_branch" && type === "bool");
  const fixed = rest.filter((port) => port !== useCache).map((port) => fixedPort(port, file));
  return {
    ...{ tokens, mask, positions, past, fixed },
    useCache: useCache ? { name: useCache.name, type: useCache.type } : null,
    countsTokens: nodes.some(({ op }) => op === "GroupQueryAttention"),
  };
}

/** An input that each run fills with zeros: how many logits to leave out, adapters of the export's own. */
function fixedPort({ name, type, shape }: Port, file: string): DecoderPorts["fixed"][number] {
  const sizes = shape.map((size) => (typeof size === "number" ? size : 0));
  const port = { name, type };
  if (/^num_logits_to_keep$|^logits_to_keep$/.test(name)) return { port, shape: sizes };
  if (/lora_[AB]\b|lora_[ab]\b/.test(name)) return { port, shape: sizes };
  throw unsupported(t('{0}: Graft does not know what to feed to its input "{1}"', file, name));
}

interface PastName {
  readonly layer: number;
  readonly kind: "key" | "value";
}

/** "past_key_values.3.key", "past_key_3", "past.3.value": the layer and what it keeps. */
function pastName(name: string): PastName | null {
  const layer = /\d+/.exec(name)?.[0];
  const own = name.replace(/key_values?/, "");
  const kind = /key|(^|[._])k([._]|$)/.test(own)
    ? "key"
    : /value|(^|[._])v([._]|$)/.test(own)
      ? "value"
      : null;
  return layer === undefined || kind === null ? null : { layer: Number(layer), kind };
}

function pastPorts(
  inputs: readonly Port[],
  outputs: readonly Port[],
  { sizes, file }: { sizes: CacheSizes | null; file: string },
): PastPort[] {
  const find = (ports: readonly Port[], pattern: RegExp): Map<string, Port> => {
    const found = ports.flatMap((port) => {
      const name = pattern.test(port.name) ? pastName(port.name) : null;
      return name ? ([[`${name.kind} ${name.layer}`, port]] as const) : [];
    });
    return new Map(found);
  };
  const past = find(inputs, /past|cache/);
  const present = find(outputs, /present|cache|past/);
  const layers = past.size / 2;
  if (layers === 0) {
    throw unsupported(
      t("{0}: it has no inputs for past keys and values, so every token would be read anew", file),
      t("Export it with a cache (optimum's text-generation-with-past)."),
    );
  }
  return ["key", "value"].flatMap((kind) =>
    Array.from({ length: layers }, (_, layer): PastPort => {
      const [from, to] = [past, present].map((ports) => ports.get(`${kind} ${layer}`));
      if (!from || !to) {
        throw unsupported(
          t("{0}: past and present {1}s of layer {2} are not both there", file, kind, layer),
        );
      }
      const [, heads, , dim] = from.shape;
      const size = (own: number | string | undefined, other: number | undefined): number => {
        if (typeof own === "number") return own;
        if (other !== undefined) return other;
        throw unsupported(
          t('{0}: "{1}" leaves its sizes open, and config.json too', file, from.name),
        );
      };
      return {
        name: from.name,
        type: from.type,
        present: to.name,
        heads: size(heads, sizes?.keyValueHeads),
        dim: size(dim, sizes?.headDim),
      };
    }),
  );
}
