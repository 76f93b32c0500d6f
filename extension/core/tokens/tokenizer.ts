import { t } from "@vscode/l10n";
import * as path from "node:path";
import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { badFile } from "../base/errors.ts";
import { isFile } from "../base/files.ts";
import { readVocabulary, type Vocabulary } from "./vocabulary.ts";
import { isObject, type JsonObject, readJsonObject, readText } from "../base/json.ts";

/** Text ⇄ token ids, as the model's tokenizer.json defines them. */
export interface Tokenizer {
  encode(text: string, options?: { addSpecialTokens?: boolean }): number[];
  /** One text, or two that belong together, with special tokens and each token's segment. */
  encodePair(text: string, pair?: string): EncodedPair;
  decode(ids: readonly number[], options?: { skipSpecialTokens?: boolean }): string;
  /** Token that ends a text, by tokenizer_config.json; null without one. */
  readonly eosTokenId: number | null;
  /** Jinja source of the chat template, or null. */
  readonly chatTemplate: string | null;
  /** Special tokens that templates may name: bos_token, eos_token, … */
  readonly specialTokens: Readonly<Record<string, string>>;
  /** What its tokens stand for; made when first asked for. */
  readonly vocabulary: Vocabulary;
  /** Makes what the first text needs, which takes up to half a second, while nobody waits for it. */
  prepare(): void;
}

export interface EncodedPair {
  readonly ids: number[];
  readonly tokenTypes: number[];
  /** Where the second text's tokens are: from here up to `pairEnd`; both 0 without one. */
  readonly pairStart: number;
  readonly pairEnd: number;
}

/** Reads tokenizer.json of a model folder; null when it has none. */
export async function readTokenizer(dir: string): Promise<Tokenizer | null> {
  const file = path.join(dir, "tokenizer.json");
  if (!(await isFile(file))) return null;
  const settings = await readOptional(path.join(dir, "tokenizer_config.json"));
  const model = await readJsonObject(file);
  const made = constructLater(model, settings, file);
  const specialTokens = readSpecialTokens(settings);
  const eos = specialTokens["eos_token"];
  let vocabulary: Vocabulary | undefined;
  return {
    encode: (text, { addSpecialTokens = true } = {}) =>
      made().encode(text, { add_special_tokens: addSpecialTokens }).ids,
    encodePair: (text, pair) => encodePair(made(), text, pair),
    decode: (ids, { skipSpecialTokens = true } = {}) =>
      ids.length === 0 ? "" : made().decode([...ids], { skip_special_tokens: skipSpecialTokens }),
    eosTokenId: eos === undefined ? null : (idOf(eos, model) ?? null),
    chatTemplate: await readChatTemplate(dir),
    specialTokens,
    get vocabulary() {
      return (vocabulary ??= readVocabulary(model));
    },
    prepare: () => void made(),
  };
}

function encodePair(tokenizer: HuggingFaceTokenizer, text: string, pair?: string): EncodedPair {
  const encoded = tokenizer.encode(text, {
    text_pair: pair ?? null,
    add_special_tokens: true,
    return_token_type_ids: true,
  });
  const { ids, token_type_ids: types = [] } = encoded;
  const tokenTypes = ids.map((_, i) => types[i] ?? 0);
  if (pair === undefined) return { ids, tokenTypes, pairStart: 0, pairEnd: 0 };
  // Special tokens may stand behind the pair; not every model has segments to tell it by.
  const own = tokenizer.encode(pair, { add_special_tokens: false }).ids;
  let pairStart = ids.length - own.length;
  while (pairStart > 0 && own.some((id, i) => ids[pairStart + i] !== id)) pairStart--;
  return { ids, tokenTypes, pairStart, pairEnd: pairStart + own.length };
}

async function readOptional(file: string): Promise<JsonObject> {
  return (await isFile(file)) ? readJsonObject(file) : {};
}

function construct(model: JsonObject, settings: JsonObject, file: string): HuggingFaceTokenizer {
  try {
    return new HuggingFaceTokenizer(model, settings);
  } catch (error) {
    throw badFile(file, t("is no tokenizer that Graft can run: {0}", (error as Error).message));
  }
}

/**
 * The tables of a BPE tokenizer take longer to make than the file to read, so they are made when the
 * first text comes; whether Graft can run it is found now, without them.
 */
function constructLater(
  model: JsonObject,
  settings: JsonObject,
  file: string,
): () => HuggingFaceTokenizer {
  const { model: tables } = model;
  const isBpe = isObject(tables) && tables["type"] === "BPE" && isObject(tables["vocab"]);
  const frame = isBpe
    ? { ...model, added_tokens: [], model: { ...tables, vocab: {}, merges: [] } }
    : model;
  const first = construct(frame, settings, file);
  let made = isBpe ? null : first;
  return () => (made ??= construct(model, settings, file));
}

/** A token's id as the file lists it: among those that were added, else in the vocabulary. */
function idOf(token: string, { added_tokens: added, model }: JsonObject): number | undefined {
  const list: unknown[] = Array.isArray(added) ? added : [];
  const found = list.findLast((each) => isObject(each) && each["content"] === token);
  if (isObject(found) && typeof found["id"] === "number") return found["id"];
  const vocab = isObject(model) ? model["vocab"] : undefined;
  if (Array.isArray(vocab)) {
    const place = vocab.findLastIndex((entry) => Array.isArray(entry) && entry[0] === token);
    return place < 0 ? undefined : place;
  }
  if (!isObject(vocab) || !Object.hasOwn(vocab, token)) return undefined;
  return typeof vocab[token] === "number" ? vocab[token] : undefined;
}

function readSpecialTokens(settings: JsonObject): Record<string, string> {
  const tokens: Record<string, string> = {};
  for (const [key, value] of Object.entries(settings)) {
    if (!key.endsWith("_token")) continue;
    const content = isObject(value) ? value["content"] : value;
    if (typeof content === "string") tokens[key] = content;
  }
  return tokens;
}

/** chat_template.jinja beside the tokenizer wins; else tokenizer_config's one, or its "default". */
export async function readChatTemplate(dir: string): Promise<string | null> {
  const file = path.join(dir, "chat_template.jinja");
  if (await isFile(file)) return readText(file);
  const settings = await readOptional(path.join(dir, "tokenizer_config.json"));
  const template = settings["chat_template"];
  if (typeof template === "string") return template;
  if (!Array.isArray(template)) return null;
  const named = template.filter(isObject);
  const chosen = named.find((each) => each["name"] === "default") ?? named[0];
  return typeof chosen?.["template"] === "string" ? chosen["template"] : null;
}
