// What reading ahead what a JSON schema leaves no choice about saves: `npm run bench:json -- [qwen2.5-0.5b] [int4]`.
// First the sample answers by itself; then a model of random weights, which says nothing of the kind, is made to
// say a text that fits a schema, in the sample's tokens. Answers with and without take turns.
import { existsSync } from "node:fs";
import * as path from "node:path";
import { loadBaseModel, requireTokenizer } from "../../extension/core/baseModel.ts";
import { PeftModel } from "../../extension/core/peftModel.ts";
import type { DecodingSession } from "../../extension/core/session/decodingSession.ts";
import { generate, type Generated } from "../../extension/core/tokens/generate.ts";
import type { Speculation } from "../../extension/core/tokens/draft/speculation.ts";
import { JsonConstraint } from "../../extension/core/tokens/json/jsonConstraint.ts";
import { greedy } from "../../extension/core/tokens/sampler.ts";
import { root } from "../unit/core/support.ts";
import { defaultFolder, makeRandomModel } from "./makeRandomModel.ts";
import { summarize } from "./statistics.ts";

const [name = "qwen2.5-0.5b", precision = "int4"] = process.argv.slice(2);
const rounds = 6;

const text = { type: "string" };
const short = {
  type: "object",
  properties: { topic: text, answer: text },
  required: ["topic", "answer"],
  additionalProperties: false,
};
const ticket = {
  type: "object",
  properties: {
    title: text,
    severity: { enum: ["low", "medium", "high"] },
    component: { enum: ["editor", "engine", "training"] },
    reproducible: { type: "boolean" },
    reporter: {
      type: "object",
      properties: { name: text, email: text },
      required: ["name", "email"],
      additionalProperties: false,
    },
    steps: { type: "array", items: text },
  },
  required: ["title", "severity", "component", "reproducible", "reporter", "steps"],
  additionalProperties: false,
};
const said = JSON.stringify(
  {
    title: "The answer stops in the middle of a word",
    severity: "medium",
    component: "engine",
    reproducible: true,
    reporter: { name: "Ann Lee", email: "ann@example.org" },
    steps: ["Load the base", "Ask for a long text", "Press stop"],
  },
  null,
  1,
).replace(/\n\s*/g, (_, at: number, all: string) => (",".includes(all[at - 1] ?? "") ? " " : ""));

const sample = new PeftModel(await loadBaseModel(path.join(root, "media/sample/base")));
await sample.loadAdapter(path.join(root, "media/sample/adapters/lora-json"), {
  adapterName: "json",
});
const tokenizer = requireTokenizer(sample.base);
const content = "What colour is the sky?";
await compare("the sample", (speculation) =>
  sample.answer(
    { kind: "chat", messages: [{ role: "user", content }] },
    {
      sampling: { ...greedy, jsonSchema: short },
      adapters: [{ name: "json", weight: 1 }],
      ...{ speculation, maxNewTokens: 60, reuse: false },
    },
  ),
);

const made = existsSync(defaultFolder(name, "fp32")) ? "fp32" : "bf16";
const base = await loadBaseModel(await makeRandomModel(name, made), {
  precision: precision as "int4",
  quantCacheDir: path.join(root, ".cache/bench/quantized"),
});
const inputs = base.session.inputs([]);
const encode = (whole: string): number[] => tokenizer.encode(whole, { addSpecialTokens: false });
const ids = encode(said);
const prompt = Array.from({ length: 64 }, (_, i) => 100 + ((i * 37) % 800));
await base.session.with(inputs, async (session) => {
  const saying = sayingOf(session);
  await compare(`${name} ${precision}`, (speculation) =>
    generate(
      saying,
      { prompt, adapters: inputs },
      {
        constraint: new JsonConstraint(ticket, tokenizer.vocabulary, new Set(), { encode }),
        ...{
          sampling: greedy,
          maxNewTokens: 200,
          stopTokens: new Set(),
          speculation,
          reuse: false,
        },
      },
    ),
  );
});
await Promise.all([sample.dispose(), base.session.dispose()]);

async function compare(
  what: string,
  answer: (speculation: Speculation) => Promise<Generated>,
): Promise<void> {
  const took: Record<"off" | "auto", number[]> = { off: [], auto: [] };
  let counts = "";
  let spoken: readonly number[] = [];
  for (let round = 0; round <= rounds; round++) {
    for (const way of ["off", "auto"] as const) {
      const { ids: now, tokensPerSecond, speculation } = await answer(way);
      // The first of each warms up.
      if (round > 0) took[way].push(1000 / tokensPerSecond);
      if (way === "auto") counts = `${speculation.accepted} of ${speculation.drafted} taken`;
      if (way === "auto" && now.join() !== spoken.join()) console.log(`${what}: other tokens`);
      spoken = now;
    }
  }
  const [plain, ahead] = [summarize(took.off), summarize(took.auto)];
  const ms = ({ median, min }: typeof plain): string => `${median.toFixed(1)} (${min.toFixed(1)})`;
  const gain = `×${(plain.median / ahead.median).toFixed(2)} (${(plain.min / ahead.min).toFixed(2)})`;
  console.log(
    `${what}, ${spoken.length} tokens: ${ms(plain)} → ${ms(ahead)} ms a token, ${gain}; ${counts}`,
  );
}

/** The session with the logits of a model that says the text. */
function sayingOf(session: DecodingSession): DecodingSession {
  return Object.assign(Object.create(session) as DecodingSession, {
    forward: (async (state, tokens, options) => {
      const logits = await session.forward(state, tokens, options);
      const [row = []] = tokens;
      const [, , vocabulary] = logits.shape;
      const first = state.cache.length - row.length - prompt.length + 1;
      (options?.logitsRows ?? [row.length - 1]).forEach((place, i) => {
        const id = ids[first + place];
        if (id !== undefined) logits.data[i * vocabulary + id] = 1e4;
      });
      return logits;
    }) satisfies DecodingSession["forward"],
  });
}
