import * as path from "node:path";
import { PeftModel } from "../../extension/core/peftModel.ts";
import { loadBaseModel } from "../../extension/core/baseModel.ts";
import { renderChat, type Message } from "../../extension/core/tokens/chatTemplate.ts";
import type { Tokenizer } from "../../extension/core/tokens/tokenizer.ts";
import { closeLogits } from "./adapterCase.ts";
import { allLogits } from "./models.ts";
import { expect, type Outcome, outcomeOf } from "./outcome.ts";
import { integerRows, readJson, readTruths } from "./truth.ts";

interface Answers {
  max_new_tokens: number;
  outputs: Record<string, Record<string, { text: string; ids: number[] }> & { input_ids: never }>;
}

/** The trained sample: tokenizer, template, and every answer of base and adapters token for token. */
export async function checkSample(truthFolder: string, modelFolder: string): Promise<Outcome[]> {
  const base = await loadBaseModel(path.join(modelFolder, "base"));
  const model = new PeftModel(base);
  const tokenizer = base.tokenizer as Tokenizer;
  const answers = readJson<Answers>(path.join(truthFolder, "outputs.json"));
  const names = Object.keys(Object.values(answers.outputs)[0] ?? {}).filter(
    (key) => key !== "input_ids",
  );
  const outcomes = [
    await outcomeOf("sample/tokenization", "tokens", () => checkTokens(truthFolder, tokenizer)),
  ];
  for (const name of names) {
    outcomes.push(
      await outcomeOf(`sample/${name}`, "sample", async () => {
        if (name !== "base") {
          const folder = path.join(modelFolder, "adapters", name);
          await model.loadAdapter(folder, { adapterName: name });
        }
        return checkAnswers(model, { name, answers, truthFolder });
      }),
    );
  }
  await model.dispose();
  return outcomes;
}

async function checkAnswers(
  model: PeftModel,
  { name, answers, truthFolder }: { name: string; answers: Answers; truthFolder: string },
): Promise<string> {
  model.setAdapter(name === "base" ? [] : [name]);
  let tokens = 0;
  for (const [content, truth] of Object.entries(answers.outputs)) {
    const wanted = truth[name] as { text: string; ids: number[] };
    const answer = await model.answer(
      { kind: "chat", messages: [{ role: "user", content }] },
      { maxNewTokens: answers.max_new_tokens },
    );
    const ids = answer.finish === "stop" ? [...answer.ids, ...model.base.stopTokens] : answer.ids;
    expect(ids.join() === wanted.ids.join(), `"${content}": ${answer.text}`);
    expect(answer.text === wanted.text, `"${content}": text ${answer.text}`);
    tokens += ids.length;
  }
  const truths = await readTruths(path.join(truthFolder, "expected.safetensors"));
  const inputIds = truths.get("input_ids");
  if (!inputIds) return `${tokens} tokens equal`;
  const ids = integerRows(inputIds);
  const mask = ids.map((row) => row.map(() => 1));
  const actual = await allLogits(model, model.inputsOf(model.activeAdapters), { ids, mask });
  const note = closeLogits(name, {
    actual,
    truth: truths.get(`${name}_logits`),
    mask,
    tolerance: 1e-4,
  });
  return `${tokens} tokens equal, ${note}`;
}

interface Tokenization {
  texts: {
    text: string;
    ids: number[];
    ids_with_special_tokens: number[];
    decoded: string;
    decoded_skip_special: string;
  }[];
  chats: { messages: Message[]; rendered: string; rendered_no_prompt: string }[];
}

async function checkTokens(truthFolder: string, tokenizer: Tokenizer): Promise<string> {
  const { texts, chats } = readJson<Tokenization>(path.join(truthFolder, "tokenization.json"));
  for (const each of texts) {
    const ids = tokenizer.encode(each.text, { addSpecialTokens: false });
    expect(ids.join() === each.ids.join(), `"${each.text}" → ${ids.join()}`);
    const special = tokenizer.encode(each.text);
    expect(
      special.join() === each.ids_with_special_tokens.join(),
      `"${each.text}" → ${special.join()}`,
    );
    const decoded = tokenizer.decode(each.ids, { skipSpecialTokens: false });
    expect(decoded === each.decoded, `"${each.text}" ← ${decoded}`);
    expect(
      tokenizer.decode(each.ids) === each.decoded_skip_special,
      `"${each.text}" ← skipping specials`,
    );
  }
  for (const { messages, rendered, rendered_no_prompt } of chats) {
    expect(renderChat(tokenizer, messages) === rendered, `chat ${rendered}`);
    const bare = renderChat(tokenizer, messages, { addGenerationPrompt: false });
    expect(bare === rendered_no_prompt, `chat without prompt ${bare}`);
  }
  return Promise.resolve(`${texts.length} texts, ${chats.length} chats`);
}
