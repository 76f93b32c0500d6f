import { cp, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { fixtures, temporaryFolder } from "./support.ts";

const words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "good", "bad", "film", "sky", "blue", "is"];

/** A copy of a fixture's model with a tokenizer of a few words beside it. */
export async function withTokenizer(
  t: { after(end: () => Promise<void>): void },
  model: string,
): Promise<string> {
  const folder = path.join(await temporaryFolder(t), "model");
  await cp(path.join(fixtures, model), folder, { recursive: true });
  await writeFile(path.join(folder, "tokenizer.json"), JSON.stringify(tokenizer()));
  return folder;
}

/** As BERT's: [CLS] text [SEP] pair [SEP]. */
function tokenizer(): object {
  const special = (id: string): object => ({ SpecialToken: { id, type_id: 0 } });
  const sequence = (id: string, type_id: number): object => ({ Sequence: { id, type_id } });
  const single = [special("[CLS]"), sequence("A", 0), special("[SEP]")];
  return {
    version: "1.0",
    added_tokens: ["[PAD]", "[CLS]", "[SEP]"].map((content, id) => ({
      ...{ id, content, special: true, normalized: false },
      ...{ single_word: false, lstrip: false, rstrip: false },
    })),
    normalizer: null,
    pre_tokenizer: { type: "Whitespace" },
    post_processor: {
      type: "TemplateProcessing",
      single,
      pair: [...single, sequence("B", 1), { SpecialToken: { id: "[SEP]", type_id: 1 } }],
      special_tokens: Object.fromEntries(
        ["[CLS]", "[SEP]"].map((id) => [id, { id, ids: [words.indexOf(id)], tokens: [id] }]),
      ),
    },
    decoder: null,
    model: {
      type: "WordLevel",
      unk_token: "[UNK]",
      vocab: Object.fromEntries(words.map((word, id) => [word, id])),
    },
  };
}
